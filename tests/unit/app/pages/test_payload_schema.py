"""A schema as lines: every field with what it must be, and nothing endless."""

from __future__ import annotations

import pytest

from app.pages.payload_schema import MOST_LINES, schema_tree
from handlers.types import TYPES


def test_a_field_is_told_with_its_kind_rules_and_place() -> None:
    tree = schema_tree({
        "required": ["id", "lines"],
        "properties": {
            "id": {"type": ["string", "integer"], "minLength": 3, "description": "which"},
            "state": {"enum": ["new", "", None]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            "who": {"anyOf": [{"type": "string"}, {"type": "null"}], "deprecated": True},
        },
        "additionalProperties": False,
        "$defs": {"line": {"properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
    })  # fmt: skip
    assert [(each.level, each.pointer, each.kinds, each.is_required) for each in tree.lines] == [
        (0, "/id", "text or whole number", True),
        (0, "/state", "", False),
        (0, "/lines", "array of object, or anything else", True),
        (1, "/lines/0/sku", "text", True),
        (0, "/who", "text or null", False),
    ]
    assert tree.lines[0].rules == ["at least 3 characters"]
    assert tree.lines[1].rules == ['new · "" · null']
    assert tree.lines[4].is_deprecated
    assert not tree.is_open


def test_a_tree_that_refers_to_itself_ends() -> None:
    node = {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert 1 <= len(schema_tree(node).lines) < 20
    wide = {"properties": {f"f{n}": {"type": "string"} for n in range(1_000)}}
    tree = schema_tree(wide)
    assert (len(tree.lines), tree.is_cut) == (MOST_LINES, True)


@pytest.mark.parametrize("odd", [{"properties": {"a": True}}, {"allOf": [3]}, {"$ref": "#/x"}, {}])
def test_what_says_little_is_no_error(odd: dict[str, object]) -> None:
    schema_tree(odd)


def test_every_built_in_schema_reads_as_lines() -> None:
    for each in TYPES:
        assert schema_tree(each.schema or {}).lines
