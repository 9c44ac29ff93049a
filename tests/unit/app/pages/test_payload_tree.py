"""The payload as a tree: bounded however large it is, and every value can be reached in it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given

from app.pages.payload_tree import Branch, find, payload_tree
from tests.helpers.events import payloads


def all_of(branch: Branch) -> list[Branch]:
    return [branch, *(each for child in branch.children for each in all_of(child))]


def leaves(value: Any, branch: Branch) -> list[tuple[str, str]]:
    """Pointer and text of every scalar, asking for what is not there as a page does."""
    if branch.kind not in ("object", "array"):
        return [(branch.pointer, branch.text)]
    found: list[tuple[str, str]] = []
    begin, part = 0, branch
    while True:
        if part.is_cut:
            part = payload_tree(*_asked(value, branch.pointer))
        for child in part.children:
            found += leaves(value, child)
        begin += len(part.children)
        if not part.rest:
            return found
        part = payload_tree(*_asked(value, branch.pointer), begin)


def _asked(value: Any, pointer: str) -> tuple[Any, str, str]:
    inside, path = find(value, pointer)
    return inside, pointer, path


@given(payloads)
def test_every_value_is_where_its_pointer_says(data: dict[str, Any]) -> None:
    for branch in all_of(payload_tree(data))[1:]:
        value, path = find(data, branch.pointer)
        assert path == branch.path
        if branch.kind == "string":
            assert branch.text == json.dumps(value, ensure_ascii=False)
        elif branch.kind in ("object", "array"):
            assert branch.count == len(value)
        else:
            assert json.loads(branch.text) == value


def test_a_large_payload_costs_little_and_all_of_it_can_be_reached() -> None:
    data = {f"group {n}": [{"id": i, "/~": {"x": i}} for i in range(130)] for n in range(130)}
    assert len(json.dumps(data)) > 256 * 1024
    began = time.process_time()
    tree = payload_tree(data)
    assert time.process_time() - began < 0.1
    assert len(all_of(tree)) <= 301
    assert tree.rest == 30
    assert len(leaves(data, tree)) == 130 * 130 * 2


def test_a_deep_payload_unfolds_to_its_end() -> None:
    data: Any = "end"
    for _ in range(60):
        data = {"in": [data]}
    assert leaves(data, payload_tree(data)) == [("/in/0" * 60, '"end"')]


def test_paths_are_written_as_people_write_them() -> None:
    data = {"error": {"frames": [{"file name": "a.py"}]}, "": 1, "a/b": {"~": 2}}
    paths = {branch.pointer: branch.path for branch in all_of(payload_tree(data))}
    assert paths["/error/frames/0/file name"] == 'error.frames[0]["file name"]'
    assert paths["/"] == '[""]'
    assert paths["/a~1b/~0"] == '["a/b"]["~"]'


def test_a_long_text_is_cut_and_said_to_be() -> None:
    (branch,) = payload_tree({"t": "x" * 100_000}).children
    assert (branch.is_cut, branch.count, len(branch.text)) == (True, 100_000, 302)


@pytest.mark.parametrize("pointer", ["/nowhere", "/a/-1", "/a/9", "/a/x", "/a/0/b", "/a/²"])
def test_a_pointer_to_nothing_is_refused(pointer: str) -> None:
    with pytest.raises(LookupError):
        find({"a": [1]}, pointer)
