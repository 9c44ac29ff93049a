"""Schemas: what is taken for one, and that none can do harm."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus.catalogue import Declaration, inferred, read_folder
from eventbus.catalogue.compiled import CompiledSchema
from eventbus.catalogue.folder import check_declaration
from eventbus.errors import DeclarationError
from tests.helpers.examples import examples


def doubling(lines: int) -> dict[str, Any]:
    """A schema of ``lines`` lines whose check takes 2 ** lines steps."""
    definitions: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(lines)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{lines}": {"type": "object"}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "pointer", "detail"),
    [
        ({"type": "strng"}, "/schema/type", "strng"),
        ({"minimum": "many"}, "/schema/minimum", "many"),
        ({"pattern": "(a"}, "/schema/pattern", "regex"),
        ({"pattern": "(?<=a)b"}, "/schema/pattern", "regex"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/schema/$schema", "2020-12"),
        ({"$ref": "https://example.org/x.json"}, "/schema/$ref", "nothing is fetched"),
        ({"properties": {"a": {"$ref": "other.json#/b"}}}, "/schema/properties/a/$ref", "fetched"),
        ({"$ref": "#/$defs/nowhere"}, "/schema", "nowhere"),
        (nested(40), None, "nested deeper than 32"),
        ({"enum": list(range(6_000))}, "/schema", "at most 5000 values"),
        ({"description": "x" * 70_000}, "/schema", "at most 65536 bytes"),
        (doubling(25), "/schema", "references replaced"),
        ({"properties": {"a": {"$ref": "#"}}}, "/schema", "must not refer to itself"),
    ],
)  # fmt: skip
def test_what_is_no_schema_or_may_do_harm_is_refused_with_its_place(
    schema: dict[str, Any], pointer: str | None, detail: str
) -> None:
    with pytest.raises(DeclarationError) as raised:
        check_declaration(Declaration.read({"schema": schema}, type="a.b"))
    (error,) = raised.value.errors
    assert pointer is None or error.pointer == pointer
    assert detail in error.detail


def test_a_reference_is_never_fetched() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    try:
        for schema in (
            {"$ref": base + "a"}, {"$id": base, "$ref": "b"}, {"$id": base, "$dynamicRef": "c"},
            {"$schema": base + "d"}, {"properties": {"x": {"$id": base + "e", "$ref": "f"}}},
            {"$id": base, "$ref": "#/$defs/g", "$defs": {"g": {"$id": base + "g", "$ref": "#h"}}},
        ):  # fmt: skip
            with pytest.raises(DeclarationError):
                CompiledSchema(schema)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_an_expression_takes_time_in_proportion_to_the_text() -> None:
    schema = CompiledSchema({"properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.process_time()
    assert not schema.allows({"a": "a" * 100_000 + "!"})
    assert time.process_time() - began < 2


def test_what_a_payload_has_to_be_is_told_in_json() -> None:
    schema = CompiledSchema({"properties": {
        "a": {"const": {"b": None}}, "c": {"enum": [None, True]}, "d": {"type": "string"},
    }})  # fmt: skip
    found = schema.violations({"a": {"b": 1}, "c": False, "d": None})
    assert sorted(each.detail for each in found) == [
        'must be one of null, true, not false', "must be text, not null",
        'must be {"b": null} (const), not {"b": 1}',
    ]  # fmt: skip


def test_a_file_may_describe_a_tree() -> None:
    tree = {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    declaration = Declaration.read({"schema": tree}, type="a.b", origin="file")
    compiled = check_declaration(declaration)
    assert compiled is not None
    (error,) = compiled.violations({"children": [{"children": [{"children": 3}]}]})
    assert error.pointer == "/data/children/0/children/0/children"


def test_a_field_with_an_odd_name_has_a_pointer_that_can_be_followed() -> None:
    schema = CompiledSchema({"required": ["a/b~c"], "additionalProperties": {"type": "string"}})
    pointers = {each.pointer for each in schema.violations({"x\ny": 1})}
    assert pointers == {"/data/a~1b~0c", "/data/x\ufffdy"}


def test_a_folder_is_read_with_all_that_is_wrong_in_it(tmp_path: Path) -> None:
    def write(name: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    write("orders/placed.json", {"type": "order.placed", "owner": "shop", "deprecated": True})
    write("a.json", {"type": "order.*", "title": "Orders"})
    found = {each.type: each for each in read_folder(tmp_path)}
    assert found["order.placed"].place == "orders/placed.json"
    assert found["order.placed"].deprecated == "yes"
    write("b.json", {"type": "order.placed"})
    write("c.json", {"type": "ev*", "colour": "red"})
    write("d.json", "{")
    write("e.json", {"type": "e.e", "schema": {"required": ["x"]}, "example": {}})
    with pytest.raises(DeclarationError) as raised:
        read_folder(tmp_path)
    told = {each.pointer: each.detail for each in raised.value.errors}
    assert list(told) == [
        "c.json: /colour", "c.json: /type", "d.json: ", "e.json: /example/x",
        "orders/placed.json: /type",
    ]  # fmt: skip
    assert "b.json already" in told["orders/placed.json: /type"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), values, max_size=5), min_size=1, max_size=8))
def test_what_it_was_read_off_keeps_to_an_inferred_schema(payloads: list[dict[str, Any]]) -> None:
    schema = CompiledSchema(inferred(payloads))
    for payload in payloads:
        assert schema.violations(payload) == []


def test_an_inferred_schema_says_what_is_always_there_and_what_a_text_may_be() -> None:
    payloads = [{"id": n, "state": "new" if n % 2 else "paid", "note": "x"} for n in range(20)]
    del payloads[3]["note"]
    assert inferred(payloads) == {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "state": {"type": "string", "examples": ["new", "paid"]},
            "note": {"type": "string", "examples": ["x"]},
        },
        "required": ["id", "state"],
    }
