"""The event types that the log holds: few in practice, bounded in case somebody makes them up."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, func, select

from eventbus.log import schema
from eventbus.patterns import Pattern

_type = schema.events.c.type

MOST_KNOWN = 2_000


class KnownTypes:
    """Changed after a commit, under the commit lock; read by any thread."""

    def __init__(self, conn: Connection) -> None:
        """Finds the types by one look-up in ix_events_type for each."""
        self._names: set[str] = set()
        self.is_complete = True
        """False once there were more types than are kept: then patterns are tried on rows."""
        name = conn.execute(select(func.min(_type))).scalar()
        while name is not None and self.is_complete:
            self.add([name])
            name = conn.execute(select(func.min(_type)).where(_type > name)).scalar()

    def add(self, names: Iterable[str]) -> None:
        """Note the types of events that were recorded."""
        for name in names:
            if name not in self._names:
                if len(self._names) >= MOST_KNOWN:
                    self.is_complete = False
                    return
                self._names.add(name)

    def names(self) -> list[str]:
        """The known types, in no order."""
        return list(self._names)

    def matching(self, pattern: Pattern) -> list[str] | None:
        """The types that match; None when that cannot be told without looking at events."""
        if pattern.is_literal:
            return [pattern.text]
        if not self.is_complete:
            return None
        return [name for name in self.names() if pattern.matches(name)]


def matches_rows(pattern: Pattern, column: ColumnElement[str] | None = None) -> ColumnElement[bool]:
    """The condition that a row's type matches, tried row by row (see ``database``)."""
    type = _type if column is None else column
    return func.eventbus_type_matches(pattern.text, type) == 1


def type_matches(types: KnownTypes, pattern: Pattern) -> ColumnElement[bool]:
    """The condition that an event's type matches, by names where they are known."""
    wanted = types.matching(pattern)
    return matches_rows(pattern) if wanted is None else _type.in_(wanted)
