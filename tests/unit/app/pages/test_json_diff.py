"""The difference of two JSON values: every path that is not the same, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.json_diff import MOST_SHOWN, differences


def found(a: Any, b: Any) -> list[tuple[str, str, Any, Any]]:
    return [(each.kind, each.path, each.before, each.after) for each in differences(a, b).found]


def test_added_removed_and_changed_members_are_named_by_their_path() -> None:
    before = {"score": {"a/b": 0.5, "gone": None}, "kept": [1, 2]}
    after = {"score": {"a/b": 0.75, "~new": {"x": 1}}, "kept": [1, 2]}
    assert found(before, after) == [
        ("changed", "/score/a~1b", 0.5, 0.75),
        ("removed", "/score/gone", None, None),
        ("added", "/score/~0new", None, {"x": 1}),
    ]
    both = differences(before, after)
    assert both.same == 2 and both.found[0].change == 0.25
    assert [both.count(kind) for kind in ("changed", "removed", "added")] == [1, 1, 1]


@pytest.mark.parametrize(("a", "b", "expected"), [
    (1, 1.0, []), (True, 1, [("changed", "", True, 1)]), ([], {}, [("changed", "", [], {})]),
    ([1, 2, 3], [1, 3], [("changed", "/1", 2, 3), ("removed", "/2", 3, None)]),
    ({}, {}, []), ("x", None, [("changed", "", "x", None)]),
    ([[]], [[1]], [("added", "/0/0", None, 1)]),
])  # fmt: skip
def test_values_are_compared_as_json_has_them(a: Any, b: Any, expected: list[Any]) -> None:
    assert found(a, b) == expected


def test_elements_with_names_are_matched_by_them_wherever_they_stand() -> None:
    before = [{"name": "django", "score": 1}, {"name": "sympy", "score": 2}]
    after = [{"name": "flask", "score": 3}, {"name": "django", "score": 1}]
    assert found(before, after) == [
        ("removed", "/sympy", before[1], None), ("added", "/flask", None, after[0]),
    ]  # fmt: skip
    twice = [{"name": "a"}, {"name": "a"}]
    assert found(twice, twice[:1]) == [("removed", "/1", {"name": "a"}, None)]


def test_what_is_very_deep_or_very_large_is_still_compared() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(5_000):
        deep, other = {"x": deep}, {"x": other}
    assert differences(deep, other).found[0].path == "/x" * 5_000
    many = differences(list(range(2_000)), [])
    assert len(many.found) == MOST_SHOWN and many.is_more
    assert differences(10**400, 1).found[0].change is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values, values)
def test_nothing_differs_from_itself_and_both_ways_are_mirrored(a: Any, b: Any) -> None:
    assert found(a, a) == []
    mirror = {"added": "removed", "removed": "added", "changed": "changed"}
    there = {(mirror[kind], path) for kind, path, _, _ in found(a, b)}
    assert there == {(kind, path) for kind, path, _, _ in found(b, a)}
    # Equal values have no difference, and only they.
    assert (found(a, b) == []) == (repr(a) == repr(b) or a == b and _shape(a) == _shape(b))


def _shape(value: Any) -> Any:
    """The value with booleans told from numbers, which Python takes for equal."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return (type(value) is bool, value)
