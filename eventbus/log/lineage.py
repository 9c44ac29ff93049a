"""The history of deliveries: their attempts in rounds, and what people did between these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, tuple_

from eventbus.log import schema
from eventbus.log.rows import attempt_from_row
from eventbus.log.values import Attempt, ChainLink, Intervention
from eventbus.timestamps import from_microseconds

_events, _attempts = schema.events, schema.attempts
_interventions, _operations = schema.interventions, schema.operations

Key = tuple[int, int]
"""A delivery: the event's sequence and the subscription's id."""

_KEYS_AT_ONCE = 200
# A chain is at most a few longer than the depth that makes it a loop.
_MOST_LINKS = 64


class Histories:
    """The histories of some deliveries, read at once."""

    def __init__(self, conn: Connection, keys: Iterable[Key]) -> None:
        self._attempts: dict[Key, list[Row[Any]]] = defaultdict(list)
        self._interventions: dict[Key, list[Row[Any]]] = defaultdict(list)
        wanted = list(keys)
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            some = wanted[start : start + _KEYS_AT_ONCE]
            for row in conn.execute(_attempts_of(some)):
                self._attempts[(row.sequence, row.subscription)].append(row)
            for row in conn.execute(_interventions_of(some)):
                self._interventions[(row.sequence, row.subscription)].append(row)

    def interventions(self, key: Key) -> list[Intervention]:
        """What was done to a delivery, oldest first."""
        return [
            Intervention(
                row.kind, row.operation, from_microseconds(row.at_us), row.requested_by,
                row.reason, row.state, row.attempt,
            )
            for row in self._interventions[key]
        ]  # fmt: skip

    def round(self, key: Key) -> int:
        """How many times a delivery has started afresh, and one."""
        return 1 + len(self._begins(key))

    def attempts(self, key: Key, delivery: Row[Any]) -> list[Attempt]:
        """Every attempt of a delivery, whose own row says how a succeeded one went."""
        begins = self._begins(key)
        failures = [0, *(row.failures for row in begins)]
        found = []
        for row in self._attempts[key]:
            # In its round: the last one that began before this attempt was written.
            number = max(i for i, before in enumerate(failures) if before < row.number)
            found.append(attempt_from_row(row, row.number - failures[number], number + 1))
        ends = [(row.state, row) for row in begins] + [(delivery.state, delivery)]
        for number, (state, row) in enumerate(ends, 1):
            if state == "succeeded":
                started_at = from_microseconds(row.finished_us - row.duration_us)
                took_ms = row.duration_us / 1_000
                found.append(Attempt(row.attempt, started_at, took_ms, "succeeded", round=number))
        return sorted(found, key=lambda attempt: (attempt.round, attempt.number))

    def _begins(self, key: Key) -> list[Row[Any]]:
        # A first delivery, by a replay, is the first round.
        return [
            row
            for row in self._interventions[key]
            if row.kind != "discard" and row.state is not None
        ]


def chain_of(conn: Connection, sequence: int) -> list[ChainLink]:
    """The events that led to this one and itself, oldest first, at most 64."""
    links: list[ChainLink] = []
    column = _events.c.sequence == sequence  # primary key, then uq_events_id_source
    while len(links) < _MOST_LINKS:
        row = conn.execute(
            select(_events.c.sequence, _events.c.id, _events.c.type, _events.c.causationid)
            .where(column)
            .order_by(_events.c.sequence.desc())
            .limit(1)
        ).first()
        if row is None or (links and row.sequence >= links[-1].sequence):
            break  # a cause comes before its effect: anything else is no chain of ours
        links.append(ChainLink(row.sequence, row.id, row.type))
        if row.causationid is None:
            break
        column = _events.c.id == row.causationid
    return links[::-1]


def _attempts_of(keys: Sequence[Key]) -> Any:
    of = tuple_(_attempts.c.sequence, _attempts.c.subscription)
    return (
        select(_attempts)
        .where(_is_of(_attempts.c.sequence, keys), of.in_(keys))
        .order_by(_attempts.c.number)
    )


def _interventions_of(keys: Sequence[Key]) -> Any:
    of = tuple_(_interventions.c.sequence, _interventions.c.subscription)
    operation = (_operations.c.kind, _operations.c.requested_by, _operations.c.reason)
    return (
        select(_interventions, *operation)
        .join_from(_interventions, _operations, _interventions.c.operation == _operations.c.id)
        .where(_is_of(_interventions.c.sequence, keys), of.in_(keys))
        .order_by(_interventions.c.number)
    )


def _is_of(sequence: Any, keys: Sequence[Key]) -> ColumnElement[bool]:
    """Said beside the pairs: with these alone SQLite would rather read the table from end to end
    than look into its primary key."""
    found: ColumnElement[bool] = sequence.in_({key for key, _ in keys})
    return found
