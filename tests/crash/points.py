"""The named points at which the harness kills: statements, functions of the core, places of ours.

Statements are seen as SQLite begins to run them, whatever layer sent them. Functions of the core
are found by name; one that is not there any more fails the start, and one that is never passed
fails a long run, so that this table cannot fall behind the code unnoticed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """``passes``: about how often it is passed in a second of load, to choose which pass to die at.

    ``delay_us``: not 0 when the death comes up to so many microseconds after the pass, wherever
    the process is by then.
    """

    name: str
    passes: int
    delay_us: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """A point that is passed when a statement that begins with ``text`` begins to run."""

    point: Point
    text: str
    contains: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A point at a method's begin, or at its end when ``is_after``."""

    point: Point
    module: str
    owner: str
    method: str
    is_after: bool = False


STATEMENTS = (
    Statement(Point("migrate", 10), "CREATE "),
    Statement(Point("subscribe", 10), "INSERT INTO subscriptions"),
    Statement(Point("schedule", 20), "INSERT INTO scheduled"),
    Statement(Point("take-due", 20), "DELETE FROM scheduled"),
    Statement(Point("begin", 200), "BEGIN IMMEDIATE"),
    Statement(Point("inside-transaction", 200, 3_000), "BEGIN IMMEDIATE"),
    Statement(Point("insert-event", 400), "INSERT INTO events"),
    Statement(Point("insert-delivery", 600), "INSERT INTO deliveries"),
    Statement(Point("update-delivery", 400), "UPDATE deliveries"),
    Statement(Point("insert-attempt", 20), "INSERT INTO attempts"),
    Statement(Point("count-crashed", 2), "INSERT INTO attempts", "'crashed'"),
    Statement(Point("insert-effect", 400), "INSERT INTO crash_applied"),
    Statement(Point("update-read-model", 20), "UPDATE handler_counters"),
    Statement(Point("commit", 200), "COMMIT"),
    Statement(Point("inside-commit", 200, 2_000), "COMMIT"),
)

_NOT_THERE = ("BEGIN", "COMMIT")  # PostgreSQL's driver sends these by itself
_POINTS = {statement.point.name: statement.point for statement in STATEMENTS}
ON_POSTGRESQL = (
    *(statement for statement in STATEMENTS if not statement.text.startswith(_NOT_THERE)),
    Statement(_POINTS["begin"], "SELECT log_head", "FOR UPDATE"),
    Statement(_POINTS["inside-transaction"], "SELECT log_head", "FOR UPDATE"),
    Statement(_POINTS["insert-event"], "COPY events"),
    Statement(_POINTS["insert-delivery"], "COPY deliveries"),
    Statement(_POINTS["schedule"], "COPY scheduled"),
    Statement(_POINTS["insert-attempt"], "COPY attempts"),
)
"""The same in the words of PostgreSQL, where a transaction that records begins with its lock."""

COMMITTED = Point("committed", 200)
"""COMMIT has returned, and nobody knows yet."""

_LOG, _DISPATCHER = "eventbus.log", "eventbus.dispatcher"
_HANDOVER, _READER = "eventbus.handover", "eventbus.lane_reader"
FUNCTIONS = (
    Function(Point("hand-over", 200), _HANDOVER, "Handover", "after_commit"),
    Function(Point("handed-over", 200), _HANDOVER, "Handover", "after_commit", True),
    Function(Point("release", 200), f"{_LOG}.commit", "GroupCommit", "_release"),
    Function(Point("ended", 400), _DISPATCHER, "Dispatcher", "_ended"),
    Function(Point("settle", 400), _DISPATCHER, "Dispatcher", "_settle"),
    Function(Point("settled", 400), _DISPATCHER, "Dispatcher", "_settle", True),
    Function(Point("submit-successes", 200), _DISPATCHER, "Dispatcher", "_submit_successes", True),
    Function(Point("settle-successes", 200), _DISPATCHER, "Dispatcher", "_settle_successes"),
    Function(Point("read-page", 10), _READER, "LaneReader", "_page", True),
    Function(Point("retry-due", 20), "eventbus.retries", "Retries", "_begin"),
    Function(Point("enter", 400), f"{_LOG}.inflight", "InFlight", "enter"),
    Function(Point("entered", 400), f"{_LOG}.inflight", "InFlight", "enter", True),
    Function(Point("leave", 400), f"{_LOG}.inflight", "InFlight", "leave"),
    Function(Point("left", 400), f"{_LOG}.inflight", "InFlight", "leave", True),
    Function(Point("forget", 10), f"{_LOG}.inflight", "InFlight", "forget"),
)

IN_HANDLER = Point("in-handler", 400)
"""A handler has asked for its effects and has not returned."""
UNJOURNALED = Point("unjournaled", 200)
"""A receipt is fulfilled, and the client has not written it down."""
LETHAL = Point("lethal", 1)
"""A handler that kills the process that runs it; never chosen, its event does it."""

POINTS: tuple[Point, ...] = (
    *(statement.point for statement in STATEMENTS),
    COMMITTED,
    *(function.point for function in FUNCTIONS),
    IN_HANDLER,
    UNJOURNALED,
    LETHAL,
)
NAMES = tuple(point.name for point in POINTS)
AT_START = ("migrate", "subscribe", "count-crashed", "forget", "read-page")
"""Those that are passed before or soon after a start."""


class Deck:
    """Draws points at random, each once before any comes again."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[Point] = []

    def draw(self, names: tuple[str, ...] | None = None) -> Point:
        """The next point; with ``names``, any of these."""
        if names is not None:
            return self._chance.choice([point for point in POINTS if point.name in names])
        if not self._left:
            self._left = [point for point in POINTS if point is not LETHAL]
            self._chance.shuffle(self._left)
        return self._left.pop()
