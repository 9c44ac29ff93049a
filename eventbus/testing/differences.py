"""What an event's data has other than was expected, in words for a failed assertion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from eventbus.event import Event
from eventbus.patterns import Pattern

_MOST_SHOWN = 3
_MOST_TYPES = 10
_MOST_CHARS = 200


def differences(expected: Mapping[str, Any], actual: Any, path: str = "") -> list[str]:
    """Why ``expected`` is not a part of ``actual``; empty when it is.

    An object is a part of one that has at least its fields; other values have to be equal, by the
    expected one's ``==``, so that ``pytest.approx`` and the like can be used.
    """
    if not isinstance(actual, Mapping):
        return [f"{path or 'data'}: expected {shown(expected)}, was {shown(actual)}"]
    found: list[str] = []
    for name, value in expected.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in actual:
            found.append(f"{where}: expected {shown(value)}, is missing")
        elif isinstance(value, Mapping):
            found += differences(value, actual[name], where)
        elif not _are_equal(value, actual[name]):
            found.append(f"{where}: expected {shown(value)}, was {shown(actual[name])}")
    return found


def explain(events: Sequence[Event], pattern: Pattern, expected: Mapping[str, Any]) -> str:
    """What was published instead: the nearest events of these types, or the nearest types."""
    of_type = [event for event in events if pattern.matches(event.type)]
    lines: list[str] = []
    if of_type and expected:
        near = sorted(of_type, key=lambda event: len(differences(expected, event.data)))
        lines.append(f"nearest of the {len(of_type)} that match {pattern.text!r}:")
        for event in near[:_MOST_SHOWN]:
            lines.append(f"  #{event.sequence} {event.type} {shown(event.data)}")
            lines += [f"      {line}" for line in differences(expected, event.data)]
    counts = Counter(event.type for event in events)
    if not counts:
        return "nothing was published at all"
    if not of_type:
        near_types = get_close_matches(pattern.text, counts, n=3)
        if near_types:
            lines.append(f"did you mean {' or '.join(map(repr, near_types))}?")
    some = [f"{type} ({count})" for type, count in counts.most_common(_MOST_TYPES)]
    more = len(counts) - len(some)
    lines.append(f"published: {', '.join(some)}{f' and {more} more types' if more else ''}")
    return "\n".join(lines)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 3] + "..."


def _are_equal(expected: Any, actual: Any) -> bool:
    # JSON tells true from 1, Python does not; what is not of JSON, such as mock.ANY, decides alone.
    if isinstance(expected, int | float):
        return expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    if isinstance(expected, tuple):
        expected = list(expected)
    return bool(expected == actual)
