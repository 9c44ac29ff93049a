"""Logs to be copied between SQLite and PostgreSQL, and the command that copies them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from app.cli.migrate_store import COMPONENTS, DECLARED
from eventbus.log import schema
from eventbus.log.move.move import Move, Step
from eventbus.log.move.parts import Parts
from eventbus.log.sqlite import SqliteDatabase
from handlers.tables import metadata
from tests.helpers.commands import Command, begin_flask
from tests.helpers.databases import running_postgresql

PARTS = Parts(COMPONENTS, DECLARED)
# What sorts otherwise by language than by code point, and what COPY has its own words for.
ODD = [
    "Z",
    "a",
    "ä",
    "b",
    "é\u0301",
    "Ω",
    "\U0001d11e",
    "a\tb",
    "a\nb",
    "a\\b",
    "\\N",
    "\\.",
    "'\"",
    "😀",
]


@contextmanager
def empty_schema() -> Iterator[str]:
    """The URL of a schema of its own, which is dropped in the end."""
    server = running_postgresql()
    with server.schema("move") as name:
        yield server.url_in(name)


def sql(url: str, statement: str) -> str:
    """What PostgreSQL answers in the schema of ``url``."""
    name = url.rpartition("search_path%3D")[2]
    return running_postgresql().sql(f"SET search_path = {name}; {statement}").strip()


def odd_log(path: Path, *, nul: bool = True) -> str:
    """A log with few rows that are hard to copy; gives its URL."""
    url = f"sqlite:///{path}"
    database = SqliteDatabase(url)
    PARTS.migrate(database)
    conn = database.writer
    with conn.begin():
        for sequence, text in enumerate(ODD, start=1):
            values: dict[str, Any] = {
                "sequence": sequence * 3, "id": text, "source": f"/{text}", "type": "a.b",
                "subject": text, "time_us": 2**53 + sequence, "recorded_us": sequence,
                "correlationid": text, "depth": 0, "data": f'{{"text":"{text}\\u0000"}}',
            }  # fmt: skip
            conn.execute(insert(schema.events).values(values))
            conn.execute(insert(schema.deliveries).values(
                sequence=sequence * 3, subscription=7, state="pending", attempt=sequence,
            ))  # fmt: skip
            conn.execute(insert(schema.attempts).values(
                sequence=sequence * 3, subscription=7, number=1, started_us=1, duration_us=1,
                outcome="failed", error_message=f"{text}\0{text}" if nul else text,
            ))  # fmt: skip
            conn.execute(insert(metadata.tables["metrics"]).values(
                name=text, kind="gauge", base=1 / (3 * sequence), base_sequence=1,
                added=float("inf") if sequence == 2 else 1e300, samples=1, updated_at=1,
                last_sequence=1,
            ))  # fmt: skip
            conn.execute(insert(metadata.tables["files"]).values(
                path=text, bytes=2**62, created_at=1, is_deleted=sequence % 2 == 0, sequence=1,
            ))  # fmt: skip
        conn.execute(insert(schema.subscriptions).values(
            id=7, name="all", pattern="#", created_us=1, since_sequence=0
        ))  # fmt: skip
    database.close()
    return url


def move(source: str, target: str, files: Path, steps: list[Step] | None = None) -> Move:
    """A move of such a log; ``steps`` gets what it tells."""
    return Move(source, target, PARTS, files, (steps if steps is not None else []).append)


def command(files: Path, *arguments: object) -> Command:
    """Begin `flask migrate-store`, in a process of its own."""
    return begin_flask("migrate-store", *arguments, EVENTBUS_FILES=str(files))


def ended(process: Command) -> tuple[int, str]:
    """Wait for the end of a command: its exit code and what it wrote."""
    done = process.ended()
    return done.code, done.out + done.err
