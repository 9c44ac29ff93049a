"""The tables of users, tokens and sessions, and how they came about.

They are no read models: no event says what is in them (that would put hashes into the log), so
neither a rebuild nor retention nor an import touches them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, Table, Text

from eventbus.log import ddl
from eventbus.log.migrations import Migration

COMPONENT = "access"

metadata = MetaData()

users = Table(
    "access_users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("is_disabled", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("password_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger),
    Column("issuer", Text),
    Column("subject", Text),
    Index("access_users_identity", "issuer", "subject", unique=True),
    sqlite_autoincrement=True,
)

tokens = Table(
    "access_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("pattern", Text),
    Column("created_by", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("used_us", BigInteger),
    sqlite_autoincrement=True,
)

sessions = Table(
    "access_sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    sqlite_with_rowid=False,
)


def _create(conn: Connection) -> None:
    for statement in (
        # AUTOINCREMENT: the id of somebody who was removed is never somebody else's.
        """CREATE TABLE access_users (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE, role TEXT NOT NULL, password TEXT NOT NULL,
            is_disabled INTEGER NOT NULL, created_us BIGINT NOT NULL,
            password_us BIGINT NOT NULL, seen_us BIGINT)""",
        """CREATE TABLE access_tokens (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
            digest TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, pattern TEXT,
            created_by TEXT NOT NULL, created_us BIGINT NOT NULL, expires_us BIGINT,
            used_us BIGINT)""",
        """CREATE TABLE access_sessions (
            digest TEXT NOT NULL PRIMARY KEY, "user" INTEGER NOT NULL,
            created_us BIGINT NOT NULL, seen_us BIGINT NOT NULL, address TEXT NOT NULL,
            agent TEXT NOT NULL) WITHOUT ROWID""",
    ):
        ddl.run(conn, statement)


def _add_identities(conn: Connection) -> None:
    """Whom an OpenID provider means; NULL, of which an index has any number, for passwords."""
    for statement in (
        "ALTER TABLE access_users ADD COLUMN issuer TEXT",
        "ALTER TABLE access_users ADD COLUMN subject TEXT",
        "CREATE UNIQUE INDEX access_users_identity ON access_users (issuer, subject)",
    ):
        ddl.run(conn, statement)


MIGRATIONS: tuple[Migration, ...] = (_create, _add_identities)
