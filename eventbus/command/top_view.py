"""The lines of `eventbus top`, for a terminal of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eventbus.command.colours import state_colour, type_styles
from eventbus.command.evaluations import progress_of
from eventbus.command.event_line import failure
from eventbus.command.moments import ago, milliseconds
from eventbus.command.safe import safe
from eventbus.command.screen import Painted, Screen
from eventbus.command.stats import URGENT, ordered, shown
from eventbus.command.table import Cell, cut, table_lines

_SECTION = 2  # its title and the head of its table


def lines(
    screen: Screen,
    found: Mapping[str, Any],
    width: int | None,
    height: int | None,
    away: str | None = None,
) -> list[Painted]:
    """Header, counters, and a section for each list that is not empty, within ``height`` lines."""
    top = [_header(screen, found, width, away), *_counters(screen, found, width)]
    sections = [
        ("alerts", _alerts(found)),
        ("evaluations", _evaluations(found)),
        ("rates by type", _types(found)),
        ("subscriptions", _subscriptions(found)),
    ]
    sections = [(title, part) for title, part in sections if part[1]]
    rooms = _rooms([len(rows) for _, (_, rows, _) in sections], height, len(top))
    shown_lines = list(top)
    for (title, (head, rows, right)), room in zip(sections, rooms, strict=True):
        if not room:
            continue
        hidden = len(rows) - room
        told = f"{title} ({hidden:,} more)" if hidden > 0 else title
        shown_lines += [Painted(""), screen.paint(cut(told, width or 80), "bold")]
        shown_lines += table_lines(screen, head, rows[:room], right=right, width=width)
    return shown_lines[:height]


def _rooms(counts: Sequence[int], height: int | None, used: int) -> list[int]:
    """How many rows each section gets: in turn, one by one, until there is no room or no row."""
    if height is None:
        return list(counts)
    left = height - used
    rooms = [0] * len(counts)
    for index in range(len(counts)):  # each begun one costs its titles and the line above
        if left >= _SECTION + 2:
            rooms[index] = 1
            left -= _SECTION + 2
    has_grown = True
    while left > 0 and has_grown:
        has_grown = False
        for index, count in enumerate(counts):
            if left > 0 and 0 < rooms[index] < count:
                rooms[index] += 1
                left -= 1
                has_grown = True
    return rooms


def _header(
    screen: Screen, found: Mapping[str, Any], width: int | None, away: str | None
) -> Painted:
    stats = found["stats"]
    if away is not None:
        return screen.paint(cut(safe(f"away, trying again: {away}"), width or 200), "bold", "red")
    told = f"event bus  #{stats['sequence']:,}  {stats['rate']:,.1f} events/s"
    time = f"{datetime.now():%H:%M:%S}"
    space = " " * max(2, (width or 80) - len(told) - len(time))
    return screen.paint(cut(told + space + time, width or 200), "bold")


def _counters(screen: Screen, found: Mapping[str, Any], width: int | None) -> list[Painted]:
    """In as many lines as they take."""
    rows: list[list[Painted]] = [[]]
    used = 0
    for name, value in ordered(found["stats"]["counters"]):
        text = f"{shown(name)} {'-' if value is None else f'{value:,}'}"
        if used and used + len(text) + 3 > (width or 10_000):
            rows.append([])
            used = 0
        used += len(text) + 3
        style = URGENT.get(name, "") if value else "dim"
        rows[-1].append(screen.paint(text, style))
    return [Painted("   ".join(row)) for row in rows]


_Part = tuple[Sequence[str], list[list[Cell]], Sequence[int]]


def _alerts(found: Mapping[str, Any]) -> _Part:
    rows: list[list[Cell]] = [
        [
            (str(alert["severity"]), (state_colour(str(alert["severity"])),)),
            str(alert["service"]),
            f"{alert['occurrences']:,}",
            ago(alert["last_seen"]),
            failure({"error": alert["error"]}),
        ]
        for alert in found["alerts"]
    ]
    return ("severity", "service", "count", "last seen", "error"), rows, (2,)


def _evaluations(found: Mapping[str, Any]) -> _Part:
    rows: list[list[Cell]] = []
    for each in (*found["evaluations"], *found["retrying"]):
        state = str(each["state"])
        when = each["retry_at"] if state == "retrying" and each["retry_at"] else each["started_at"]
        rows.append(
            [
                str(each["eval_id"]),
                (state, (state_colour(state),)),
                f"{each['attempt']}/{each['max_retries'] + 1}",
                progress_of(each),
                ago(when),
                str(each["task"] or ""),
            ]
        )
    return ("evaluation", "state", "try", "progress", "since", "task"), rows, (2, 3)


def _types(found: Mapping[str, Any]) -> _Part:
    rows: list[list[Cell]] = [
        [
            (str(each["type"]), type_styles(str(each["type"]))),
            f"{each['rate']:,.1f}",
            f"{each['count']:,}",
        ]
        for each in found["types"]
        if each["count"]  # not those that are declared and were never seen
    ]
    return ("type", "a second", "count"), rows, (1, 2)


def _subscriptions(found: Mapping[str, Any]) -> _Part:
    listed = sorted(found["subscriptions"], key=lambda each: (-each["lag"], each["name"]))
    rows: list[list[Cell]] = [
        [
            str(each["name"]),
            (str(each["state"]), (state_colour(str(each["state"])),)),
            (f"{each['lag']:,}", ("yellow",) if each["lag"] > 1000 else ()),
            (f"{each['retrying']:,}", ("yellow",) if each["retrying"] else ()),
            (f"{each['dead']:,}", ("red",) if each["dead"] else ()),
            milliseconds(each["p95_ms"]),
        ]
        for each in listed
    ]
    return ("subscription", "state", "lag", "retrying", "dead", "p95"), rows, (2, 3, 4, 5)
