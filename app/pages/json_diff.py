"""What differs between two JSON values: added, removed and changed paths, as RFC 6901 pointers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["added", "removed", "changed"]

MOST_SHOWN = 500
# Names by which the elements of two lists are matched, when each has one of its own.
_NAMES = ("id", "sample_id", "name", "key", "path")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """``path`` is a JSON Pointer, "" for the whole; ``before`` is None when added, ``after`` when
    removed. ``change`` is after - before for two numbers, else None."""

    path: str
    kind: Kind
    before: Any
    after: Any
    change: float | None = None


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs, in the order of the first value, 500 at most; ``same`` counts equal leaves."""

    found: Sequence[Difference]
    same: int
    is_more: bool

    def count(self, kind: Kind) -> int:
        """How many are of one kind."""
        return sum(each.kind == kind for each in self.found)


def differences(before: Any, after: Any) -> Differences:
    """Compare two values as JSON gives them, of any depth.

    Objects are compared by their members; lists of objects with names by those (id, sample_id,
    name, key, path), other lists place by place. 1 and 1.0 are equal, true and 1 are not.
    """
    found: list[Difference] = []
    same = 0
    # A stack of our own: JSON may be deeper than Python likes to call.
    todo: list[tuple[str, Any, Any]] = [("", before, after)]
    while todo:
        path, a, b = todo.pop()
        pairs = _members(a, b)
        if pairs is not None:
            todo.extend((f"{path}/{_escaped(name)}", x, y) for name, x, y in reversed(list(pairs)))
        elif _is_equal(a, b):
            same += 1
        elif len(found) == MOST_SHOWN:
            return Differences(found, same, is_more=True)
        else:
            found.append(_difference(path, a, b))
    return Differences(found, same, is_more=False)


def _members(a: Any, b: Any) -> Iterator[tuple[str, Any, Any]] | None:
    """The members of two objects or two lists side by side; None when they are not such a pair."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return _matched(a, b)
    if isinstance(a, list) and isinstance(b, list):
        for name in _NAMES:
            named_a, named_b = _named(a, name), _named(b, name)
            if named_a is not None and named_b is not None and (a or b):
                return _matched(named_a, named_b)
        longest = range(max(len(a), len(b)))
        return (
            (str(n), a[n] if n < len(a) else _MISSING, b[n] if n < len(b) else _MISSING)
            for n in longest
        )
    return None


def _matched(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in a:
        yield name, a[name], b.get(name, _MISSING)
    for name in b:
        if name not in a:
            yield name, _MISSING, b[name]


def _named(items: list[Any], name: str) -> dict[str, Any] | None:
    """The elements by their names; None when one has none or two have the same."""
    found: dict[str, Any] = {}
    for item in items:
        value = item.get(name) if isinstance(item, Mapping) else None
        if not isinstance(value, str | int) or str(value) in found:
            return None
        found[str(value)] = item
    return found


def _is_equal(a: Any, b: Any) -> bool:
    # Two containers are only compared here when one is empty or of another kind.
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _difference(path: str, a: Any, b: Any) -> Difference:
    if a is _MISSING:
        return Difference(path, "added", None, b)
    if b is _MISSING:
        return Difference(path, "removed", a, None)
    return Difference(path, "changed", a, b, _change(a, b))


def _change(a: Any, b: Any) -> float | None:
    for value in (a, b):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
    try:
        return float(b) - float(a)
    except OverflowError:
        return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
