"""The table of webhooks: no read model, since secrets are in no event, so it is kept for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from eventbus.log import ddl
from eventbus.timestamps import from_microseconds, to_microseconds
from handlers.webhook.webhook import Webhook

COMPONENT = "webhooks"
MOST_WEBHOOKS = 100

# Not among the read models' tables, which a rebuild makes afresh from the log.
metadata = MetaData()
_webhooks = Table(
    "webhooks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("pattern", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("timeout_s", Float, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def _create(conn: Connection) -> None:
    # Spelled out: a migration must do tomorrow what it did the day it was released.
    ddl.run(
        conn,
        """CREATE TABLE webhooks (
            name TEXT NOT NULL PRIMARY KEY, pattern TEXT NOT NULL, url TEXT NOT NULL,
            mode TEXT NOT NULL, timeout_s FLOAT NOT NULL, max_attempts INTEGER NOT NULL,
            concurrency INTEGER NOT NULL, secret TEXT NOT NULL, previous_secret TEXT,
            previous_until BIGINT, created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
            changed_at BIGINT NOT NULL) WITHOUT ROWID""",
    )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create,)


def all_of(conn: Connection) -> list[Webhook]:
    """Every webhook, by name; there are at most ``MOST_WEBHOOKS``."""
    rows = conn.execute(select(_webhooks).order_by(_webhooks.c.name).limit(MOST_WEBHOOKS))
    return [
        Webhook(
            **{
                **row._mapping,
                "previous_until": None if row.previous_until is None
                else from_microseconds(row.previous_until),
                "created_at": from_microseconds(row.created_at),
                "changed_at": from_microseconds(row.changed_at),
            }
        )
        for row in rows
    ]  # fmt: skip


def put(conn: Connection, webhook: Webhook) -> None:
    """Store a new webhook, or one that has changed."""
    values = {column.name: _stored(getattr(webhook, column.name)) for column in _webhooks.c}
    found = conn.execute(
        update(_webhooks).where(_webhooks.c.name == webhook.name).values(values)  # primary key
    )
    if not found.rowcount:
        conn.execute(insert(_webhooks).values(values))


def remove(conn: Connection, name: str) -> None:
    """Forget a webhook."""
    conn.execute(delete(_webhooks).where(_webhooks.c.name == name))  # primary key


def _stored(value: object) -> object:
    return to_microseconds(value) if isinstance(value, datetime) else value
