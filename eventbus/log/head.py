"""The head of a log that several processes write: its last sequence, under a lock that all take.

Who records events locks the row until the transaction ends. So sequences become visible in their
order: whoever sees one sees all before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
    text,
    update,
)

from eventbus.log import schema

# One row; only PostgreSQL has it. ``subscriptions`` counts the changes of subscriptions.
_heads = Table(
    "log_head",
    MetaData(),
    Column("last_sequence", BigInteger, nullable=False),
    Column("subscriptions", BigInteger, nullable=False),
)
_LOCK = select(
    _heads.c.last_sequence, _heads.c.subscriptions,
    cast(func.pg_current_xact_id(), Text).label("transaction"),
).with_for_update()  # fmt: skip
_READ = select(_heads.c.last_sequence)
_SEEN = select(_heads.c.last_sequence, _heads.c.subscriptions)
_MOVE = update(_heads).values(last_sequence=bindparam("last"))
_NOTIFY = text("SELECT pg_notify(:channel, :topic)")

EVENTS = ""
"""The topic of a commit with events; the others are named for what has changed."""
SUBSCRIPTIONS = "subscriptions"
_REMOVED = "removed:"  # as ``removal`` has it
MISSED = "missed"
"""Told by the follower alone, when topics may have come while it had no connection."""


@dataclass(frozen=True, slots=True)
class Head:
    """``subscriptions`` grows with every change of the durable subscriptions.

    ``transaction`` is the number of the transaction that has the lock (log/doubt.py).
    """

    last_sequence: int
    subscriptions: int
    transaction: str


def lock(conn: Connection) -> Head:
    """The head, which nobody else changes until this transaction ends."""
    row = conn.execute(_LOCK).one()
    return Head(row.last_sequence, row.subscriptions, row.transaction)


def lock_deliveries(conn: Connection) -> None:
    """Let no process change a delivery until this transaction ends; it may be read."""
    conn.execute(text("LOCK TABLE deliveries IN SHARE ROW EXCLUSIVE MODE"))


def newest_sequence(conn: Connection) -> int:
    """The newest sequence of a log, also of one that has no head, in a transaction of its writer's.

    The head also knows of events that retention has removed.
    """
    if conn.dialect.name == "sqlite":
        return conn.execute(select(func.max(schema.events.c.sequence))).scalar() or 0
    return last_sequence(conn)


def last_sequence(conn: Connection) -> int:
    """The newest sequence that this transaction sees."""
    return int(conn.execute(_READ).scalar_one())


def seen(conn: Connection) -> tuple[int, int]:
    """That, and how often subscriptions have changed up to it."""
    row = conn.execute(_SEEN).one()
    return row.last_sequence, row.subscriptions


def move(conn: Connection, last: int, channel: str) -> None:
    """Put the head forward, with the lock held; the others are told when it is committed."""
    conn.execute(_MOVE, {"last": last})
    tell(conn, channel, EVENTS)


def subscriptions_changed(conn: Connection, channel: str) -> None:
    """Have every process read the subscriptions before it records its next event."""
    conn.execute(update(_heads).values(subscriptions=_heads.c.subscriptions + 1))
    tell(conn, channel, SUBSCRIPTIONS)


def tell(conn: Connection, channel: str, topic: str) -> None:
    """Wake the followers of all processes when this transaction is committed."""
    conn.execute(_NOTIFY, {"channel": channel, "topic": topic})


def removal(first: int, last: int, count: int, by: str) -> str:
    """The topic of a commit that has removed something of these sequences, ``count`` events.

    ``by`` is the id of the log that did: the server tells it, too, and it knows.
    """
    return f"{_REMOVED}{first}:{last}:{count}:{by}"


def removals(topics: Iterable[str], but_by: str) -> Iterator[tuple[list[int], int]]:
    """The first and last sequence and the count of each removal, but for those by one log."""
    for topic in topics:
        if topic.startswith(_REMOVED):
            first, last, count, by = topic.removeprefix(_REMOVED).split(":")
            if by != but_by:
                yield [int(first), int(last)], int(count)


def concerns(topics: set[str], topic: str) -> bool:
    """Whether ``topic`` was told, or may have been."""
    return topic in topics or MISSED in topics


def position(conn: Connection) -> int:
    """How far the server's write-ahead log is on disk: it grows with every commit of anybody.

    A commit is seen a moment after that. PostgreSQL's manual, 9.27.3, pg_current_wal_flush_lsn.
    """
    lsn = func.pg_wal_lsn_diff(func.pg_current_wal_flush_lsn(), text("'0/0'"))
    return int(conn.execute(select(lsn)).scalar_one())
