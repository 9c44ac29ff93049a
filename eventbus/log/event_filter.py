"""The conditions of a query as SQL, and one page of rows under them, by the index that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

from eventbus.log.known_types import KnownTypes
from eventbus.log.rows import STREAMED
from eventbus.log.values import EventQuery
from eventbus.log.words import Words
from eventbus.timestamps import to_microseconds

# With more matching types than this, walking the log in order beats one index walk per type.
MOST_TYPES = 64

_RANGE = "sequence > :low AND sequence < :high"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a row must fulfil.

    ``types``: None for any; ``conditions`` are of SQL, with their ``params``; ``correlation`` is
    of a chain. ``has_times``: a condition is about time, which no index has in sequence order.
    """

    types: tuple[str, ...] | None
    conditions: tuple[str, ...]
    params: dict[str, Any]
    correlation: str | None = None
    subject: str | None = None
    has_times: bool = False
    is_tried_on_rows: bool = False

    @classmethod
    def of(cls, query: EventQuery, known: KnownTypes) -> EventFilter:
        """The conditions of a query but for text and position."""
        conditions: list[str] = []
        params: dict[str, Any] = {}
        types: tuple[str, ...] | None = None
        is_tried_on_rows = False
        if query.pattern is not None and not query.pattern.matches_all:
            wanted = known.matching(query.pattern)
            if wanted is None:
                is_tried_on_rows = True
                conditions.append("eventbus_type_matches(:pattern, type) = 1")
                params["pattern"] = query.pattern.text
            else:
                types = tuple(wanted)
        if query.subject is not None:
            conditions.append("subject = :subject")  # ix_events_subject
            params["subject"] = query.subject
        if query.since is not None:
            conditions.append("time_us >= :since")
            params["since"] = to_microseconds(query.since)
        if query.until is not None:
            conditions.append("time_us < :until")
            params["until"] = to_microseconds(query.until)
        return cls(
            types, tuple(conditions), params, query.correlation, query.subject,
            query.since is not None or query.until is not None, is_tried_on_rows,
        )  # fmt: skip

    @property
    def is_indexed(self) -> bool:
        """Whether an index leads from one matching row to the next, but for times."""
        if self.subject is not None or self.correlation is not None:
            return True
        return self.types is not None and len(self.types) <= MOST_TYPES

    @property
    def must_scan(self) -> bool:
        """Whether rows that do not match have to be looked at."""
        is_wide = self.types is not None and len(self.types) > MOST_TYPES
        return self.has_times or self.is_tried_on_rows or (is_wide and not self.is_indexed)

    def containing(self, words: Words) -> EventFilter:
        """With what a row with these words contains: cheap, and no proof."""
        conditions, params = list(self.conditions), dict(self.params)
        for number, part in enumerate(words.contained):
            like = f"LIKE :part_{number}"
            conditions.append(f"(data {like} OR type {like} OR subject {like})")
            params[f"part_{number}"] = f"%{part}%"  # letters and digits: nothing to escape
        return EventFilter(
            self.types, tuple(conditions), params, self.correlation, self.subject,
            self.has_times, self.is_tried_on_rows,
        )  # fmt: skip


def page(
    conn: Connection, wanted: EventFilter, low: int, high: int, order: str, limit: int
) -> Sequence[Any]:
    """Rows of ``low < sequence < high`` in ``order`` ("asc" or "desc"), at most ``limit``.

    No payload is ever sorted: where rows come from several walks of an index, only their
    sequences are.
    """
    with opened(conn, wanted, low, high, order, limit) as rows:
        return rows.all()


@contextmanager
def opened(
    conn: Connection, wanted: EventFilter, low: int, high: int, order: str, limit: int,
    columns: str = "*",
) -> Iterator[CursorResult[*tuple[Any, ...]]]:  # fmt: skip
    """As ``page``, with rows of ``columns`` that are read while one goes through them."""
    if wanted.types == ():
        high = low  # nothing
    params = {**wanted.params, "low": low, "high": high, "limit": limit}
    where = [_RANGE, *wanted.conditions]
    if wanted.correlation is not None:
        params["correlation"] = wanted.correlation
        where.append(
            # uq_events_id_source and ix_events_correlation
            "sequence IN (SELECT sequence FROM events WHERE id = :correlation "
            "UNION ALL SELECT sequence FROM events WHERE correlationid = :correlation "
            f"AND correlationid != id AND {_RANGE})"
        )
    types = wanted.types
    if types is not None:
        params.update({f"type_{number}": type for number, type in enumerate(types)})
    if types and wanted.subject is None and wanted.correlation is None and (
        len(types) <= MOST_TYPES
    ):  # fmt: skip
        # ix_events_type: the walks of all types are merged; nothing beyond the limit is looked at.
        walks = " UNION ALL ".join(
            f"SELECT * FROM (SELECT sequence FROM events WHERE {' AND '.join(where)} "
            f"AND type = :type_{number} ORDER BY sequence {order} LIMIT :limit) AS walk_{number}"
            for number in range(len(types))
        )
        where = [f"sequence IN (SELECT sequence FROM ({walks}) AS walks ORDER BY sequence {order} "
                 "LIMIT :limit)"]  # fmt: skip
    elif types:
        # "+": else the planner would walk ix_events_type and sort rows with their payloads.
        names = ", ".join(f":type_{number}" for number in range(len(types)))
        where.append(f"+type IN ({names})")
    statement = _text(
        conn,
        f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY sequence {order} "
        "LIMIT :limit",
    )
    with conn.execute(statement, params, execution_options=STREAMED) as rows:
        yield rows


def chosen(
    conn: Connection, wanted: EventFilter, sequences: Sequence[int], order: str, columns: str = "*"
) -> Sequence[Any]:
    """Those of the rows with these sequences that match; not for chains."""
    where = [f"sequence IN ({', '.join(map(str, sequences))})", *wanted.conditions]
    params = dict(wanted.params)
    if wanted.types is not None:
        where.append(f"+type IN ({', '.join(f':type_{n}' for n in range(len(wanted.types)))})")
        params.update({f"type_{number}": type for number, type in enumerate(wanted.types)})
    statement = (
        f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY sequence {order}"
    )
    return conn.execute(_text(conn, statement), params).all()


def _text(conn: Connection, statement: str) -> TextClause:
    """The statement in the words of the connection's database."""
    if conn.dialect.name == "postgresql":  # whose planner needs no "+", and whose LIKE minds case
        statement = statement.replace("+type IN", "type IN").replace(" LIKE ", " ILIKE ")
    return text(statement)
