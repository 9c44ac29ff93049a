"""The table of saved views, a few rows, and how it changes."""

from __future__ import annotations

import logging

from sqlalchemy import BigInteger, Column, Connection, Table, Text, delete, func, insert, select
from sqlalchemy import update as update_

from handlers.tables import metadata
from handlers.view.facts import ViewFact

MOST_VIEWS = 50
"""A menu of more is no shorter than typing the filter."""

logger = logging.getLogger("eventbus.handlers")

views = Table(
    "saved_views",
    metadata,
    Column("name", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("by", Text),
    Column("saved_at", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def apply(conn: Connection, facts: list[ViewFact]) -> None:
    """Change the views; what contradicts them (two people at once) is said and changes nothing."""
    for fact in sorted(facts, key=lambda fact: fact.sequence):
        if fact.type is not None:
            done = _save(conn, fact)
        elif fact.to is not None:
            done = _rename(conn, fact)
        else:
            done = conn.execute(delete(views).where(views.c.name == fact.name)).rowcount == 1
        if not done:
            logger.warning("event %d changes no view, it asks for %r", fact.sequence, fact.name)


def _save(conn: Connection, fact: ViewFact) -> bool:
    row = {
        "type": fact.type,
        "by": fact.by,
        "saved_at": fact.time,
        "last_sequence": fact.sequence,
    }
    if conn.execute(update_(views).where(views.c.name == fact.name).values(row)).rowcount:
        return True
    if (conn.scalar(select(func.count()).select_from(views)) or 0) >= MOST_VIEWS:
        return False
    conn.execute(insert(views).values(name=fact.name, **row))
    return True


def _rename(conn: Connection, fact: ViewFact) -> bool:
    if conn.scalar(select(views.c.name).where(views.c.name == fact.to)) is not None:
        return False
    renamed = (
        update_(views)
        .where(views.c.name == fact.name)
        .values(name=fact.to, by=fact.by, last_sequence=fact.sequence)
    )
    return conn.execute(renamed).rowcount == 1
