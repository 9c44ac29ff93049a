"""The state machine of one evaluation: the way it went, how long it was where, and a drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.pages.times import between
from eventbus import Event
from handlers.errors import MalformedEventError
from handlers.evaluation.facts import read
from handlers.evaluation.lifecycle import STATES, EvaluationRow, State, advance

BOX_WIDTH = 128
BOX_HEIGHT = 46
_TIME_HEIGHT = 18

Shape = Literal["wide", "tall"]

# Where the middle of each box is. What runs is on the left, what has ended on the right.
_PLACES: dict[Shape, dict[State, tuple[int, int]]] = {
    "wide": {
        "stalled": (102, 32), "active": (102, 126), "retrying": (102, 220),
        "failed": (360, 220),
        "completed": (618, 32), "cancelled": (618, 126), "exhausted": (618, 220),
    },
    "tall": {
        "stalled": (76, 32), "active": (76, 126), "retrying": (76, 220),
        "completed": (250, 32), "cancelled": (250, 126), "failed": (250, 220),
        "exhausted": (250, 314),
    },
}  # fmt: skip
SIZES: dict[Shape, tuple[int, int]] = {"wide": (700, 268), "tall": (330, 362)}
# What may happen to any evaluation; other ways are drawn only when they were taken.
_USUAL: tuple[tuple[State, State], ...] = (
    ("active", "completed"), ("active", "failed"), ("active", "stalled"), ("active", "cancelled"),
    ("failed", "retrying"), ("failed", "exhausted"), ("retrying", "active"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay in a state, brought about by ``event``; ``until`` is None while it lasts."""

    state: State
    since: datetime
    event: Event
    until: datetime | None = None

    @property
    def duration_ms(self) -> float | None:
        """How long it lasted; None while it lasts."""
        return between(self.since, self.until)


@dataclass(frozen=True, slots=True)
class Box:
    """A state in the drawing: its corner, how often it was entered, how long it was left again in
    all (``total_ms``, None when it never was), and since when the evaluation is in it now."""

    state: State
    x: int
    y: int
    visits: int
    total_ms: float | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Edge:
    """A way between two boxes as the ``d`` of a path; ``count`` is how often it was taken."""

    source: State
    target: State
    path: str
    count: int
    label_x: int
    label_y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and edges of one shape, in units of its view box."""

    shape: Shape
    width: int
    height: int
    boxes: Sequence[Box]
    edges: Sequence[Edge]


def visits(events: Iterable[Event], default_max_retries: int) -> list[Visit]:
    """The states that these events (ascending) led through, as the handler decides them."""
    row: EvaluationRow | None = None
    found: list[Visit] = []
    for event in events:
        try:
            facts = read(event)
        except MalformedEventError:
            continue  # its handler refused it too
        if facts is None:
            continue
        before, row = row, advance(row, facts, default_max_retries).row
        if row is None or (before is not None and _is_same_stay(before, row)):
            continue
        if found:
            found[-1] = _ended(found[-1], event.time)
        found.append(Visit(row.state, event.time, event))
    return found


def draw(found: Sequence[Visit], shape: Shape) -> Drawing:
    """The machine with the way that was taken."""
    places = _PLACES[shape]
    taken = Counter((a.state, b.state) for a, b in zip(found, found[1:], strict=False))
    now = found[-1] if found else None
    boxes = []
    for state in STATES:
        stays = [visit for visit in found if visit.state == state]
        ended = [visit.duration_ms for visit in stays if visit.duration_ms is not None]
        x, y = places[state]
        boxes.append(
            Box(
                state,
                x - BOX_WIDTH // 2,
                y - BOX_HEIGHT // 2,
                len(stays),
                sum(ended) if ended else None,
                now.since if now is not None and now.state == state else None,
            )
        )
    ways = {**dict.fromkeys(_USUAL, 0), **taken}
    edges = [_edge(a, b, count, places) for (a, b), count in ways.items() if a != b]
    edges.sort(key=lambda edge: edge.count)  # what was taken lies above what was not
    width, height = SIZES[shape]
    return Drawing(shape, width, height, boxes, edges)


def _is_same_stay(before: EvaluationRow, row: EvaluationRow) -> bool:
    # A further attempt is a new stay even when the state has the same name.
    return before.state == row.state and before.attempt == row.attempt


def _ended(visit: Visit, until: datetime) -> Visit:
    return Visit(visit.state, visit.since, visit.event, max(until, visit.since))


def _edge(a: State, b: State, count: int, places: dict[State, tuple[int, int]]) -> Edge:
    (ax, ay), (bx, by) = places[a], places[b]
    # Two ways between the same boxes, there and back, run side by side.
    aside = 9 if STATES.index(a) < STATES.index(b) else -9
    if ax == bx:
        down = by > ay
        start = ay + (BOX_HEIGHT // 2 + _TIME_HEIGHT if down else -BOX_HEIGHT // 2)
        end = by + (-BOX_HEIGHT // 2 if down else BOX_HEIGHT // 2 + _TIME_HEIGHT)
        x = ax + aside
        if abs(by - ay) > 100:  # there is a box between
            x = ax + BOX_WIDTH // 2
            bow = x + 34
            path = f"M{x} {ay} C{bow} {ay} {bow} {by} {x} {by}"
            return Edge(a, b, path, count, x + 26, (ay + by) // 2)
        return Edge(a, b, f"M{x} {start} L{x} {end}", count, x + 10, (start + end) // 2)
    right = bx > ax
    start_x = ax + (BOX_WIDTH // 2 if right else -BOX_WIDTH // 2)
    end_x = bx - (BOX_WIDTH // 2 if right else -BOX_WIDTH // 2)
    shift = 0 if right else 8
    start_y, end_y = ay + shift, by + shift
    middle = (start_x + end_x) // 2
    path = f"M{start_x} {start_y} C{middle} {start_y} {middle} {end_y} {end_x} {end_y}"
    return Edge(a, b, path, count, middle, (start_y + end_y) // 2 - 6)
