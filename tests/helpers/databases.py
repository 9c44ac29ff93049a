"""Logs of tests in PostgreSQL: schemas of their own, and every test there instead of in SQLite.

``EVENTBUS_TEST_DATABASE=postgresql`` runs any test so; the tests of the store always run on both.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from eventbus.log import EventLog, eventlog
from eventbus.log.database import Database
from handlers.migrations import MIGRATIONS
from handlers.subscriptions import COMPONENT
from tests.services import ROOT, Postgresql, Service

ON_POSTGRESQL = os.environ.get("EVENTBUS_TEST_DATABASE") == "postgresql"
# A test that did not close its log may leave locks; then its schema is not used again.
_LOCK_TIMEOUT_MS = 500
# No test cuts this server's power, and a disk may take 4 ms for each commit. Only for tests of one
# process: others find out by what is on the disk that something was committed.
_UNSYNCHRONISED = "-csynchronous_commit=off"


def running_postgresql() -> Postgresql:
    """The server that `make services` has started; skips the test when there is none."""
    server = Postgresql(ROOT / Postgresql.name)
    if not server.is_running:
        pytest.skip("PostgreSQL does not run here; `make services` starts it")
    return server


def skip_in_container(own: Service) -> None:
    """Skip a test that stops and kills a server of its own where there are containers alone."""
    if not own.is_installed:
        pytest.skip(
            f"{own.name} runs in a container here, and the test kills one of its own: "
            "`make services-stop`, `make services ARGS=--native`"
        )


@contextmanager
def own_postgresql(folder: Path, also_at: str | None = None) -> Iterator[Postgresql]:
    """A server that a test may stop and kill; skips it where the shared one does not run."""
    running_postgresql()  # where it runs, this one can
    server = Postgresql(folder, also_at)
    skip_in_container(server)
    server.start()
    try:
        yield server
    finally:
        server.remove()


class Schemas:
    """This process's schemas in the server's database, which tests use one after the other.

    Making the tables takes a third of a second, those of the read models as long again; emptying
    them takes a hundredth.
    """

    def __init__(self, server: Postgresql, *, have_read_models: bool) -> None:
        """``have_read_models``: whether the tables of the read models are there already."""
        import psycopg

        self._server = server
        self._have_read_models = have_read_models
        self._conn = psycopg.connect(server.url, autocommit=True)
        self._conn.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
        self._made: list[str] = []
        self._free: list[str] = []
        self._first: dict[str, list[tuple[Any, ...]]] = {}
        self._drop_left()
        atexit.register(self._drop_all)

    def lend(self) -> str:
        """The name of a schema with an empty log."""
        return self._free.pop() if self._free else self._make()

    def take_back(self, name: str) -> None:
        """Empty a schema for the next test; what cannot be emptied is left alone."""
        import psycopg

        with suppress(psycopg.Error):
            self._empty(name)
            self._free.append(name)

    @contextmanager
    def lent(self, *options: str) -> Iterator[str]:
        """The URL of an empty log for as long as this lasts, with options of the server's."""
        name = self.lend()
        try:
            yield self.url(name, *options)
        finally:
            self.take_back(name)

    def url(self, name: str, *options: str) -> str:
        return self._server.url_in(name, *options)

    def _make(self) -> str:
        kind = "models" if self._have_read_models else "log"
        name = f"test_{os.getpid()}_{kind}_{len(self._made)}"
        self._conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        self._conn.execute(f"CREATE SCHEMA {name}")
        self._made.append(name)
        log = EventLog(self.url(name))
        if self._have_read_models:
            log.migrate(COMPONENT, MIGRATIONS)
        log.close()
        if not self._first:
            for table in self._tables(name):
                rows = self._conn.execute(f"TABLE {name}.{table}").fetchall()
                self._first[table] = rows
        return name

    def _tables(self, name: str) -> list[str]:
        rows = self._conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (name,))
        return [row[0] for row in rows]

    def _empty(self, name: str) -> None:
        there = set(self._tables(name))
        statements = [f"DROP TABLE {name}.{table}" for table in there - self._first.keys()]
        statements += [f"DELETE FROM {name}.{table}" for table in self._first]
        statements.append(
            "SELECT setval(seqrelid::regclass, 1, false) FROM pg_sequence "
            f"JOIN pg_class ON oid = seqrelid WHERE relnamespace = '{name}'::regnamespace"
        )
        with self._conn.transaction():
            self._conn.execute("; ".join(statements))
            for table, rows in self._first.items():
                for row in rows:
                    marks = ", ".join(["%s"] * len(row))
                    self._conn.execute(f"INSERT INTO {name}.{table} VALUES ({marks})", row)

    def _drop_left(self) -> None:
        """Drop what processes have left that were killed."""
        rows = self._conn.execute(r"SELECT nspname FROM pg_namespace WHERE nspname ~ '^test_\d+_'")
        for (name,) in rows.fetchall():
            if not Path("/proc", name.split("_")[1]).exists():
                self._conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def _drop_all(self) -> None:
        import psycopg

        for name in self._made:
            with suppress(psycopg.Error):
                self._conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        self._conn.close()


def schemas(*, have_read_models: bool = False) -> Schemas:
    """Those of this process; skips the test when there is no server."""
    return _schemas(have_read_models)


@cache
def _schemas(have_read_models: bool) -> Schemas:
    return Schemas(running_postgresql(), have_read_models=have_read_models)


@contextmanager
def fresh_url(kind: str, *options: str, has_read_models: bool = False) -> Iterator[str]:
    """The URL of a database that nobody has used, ``kind`` "sqlite" or "postgresql".

    It is gone afterwards, with the files beside it. ``has_read_models``: PostgreSQL may have their
    tables already, which saves time. ``options`` are PostgreSQL's for whoever uses the URL.
    """
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield f"sqlite:///{Path(folder, 'events.db')}"
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", folder)
            patch.setenv("TMPDIR", folder)  # of the processes that the test starts
            with schemas(have_read_models=has_read_models).lent(*options) as url:
                yield url


def on_both(metafunc: pytest.Metafunc, files: Set[str], on_one: Set[str] = frozenset()) -> None:
    """Run the tests of these files, by their stems, that need the fixture ``url`` on both.

    ``on_one`` are names of tests among them that do not: too long, and not about the store.
    """
    if "url" not in metafunc.fixturenames or ON_POSTGRESQL:
        return
    is_of_files = metafunc.definition.get_closest_marker("sqlite") is not None
    is_on_one = is_of_files or metafunc.function.__name__ in on_one
    if metafunc.definition.path.stem in files and not is_on_one:
        metafunc.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@contextmanager
def url_for(
    request: pytest.FixtureRequest, folder: Path, *, has_read_models: bool = False
) -> Iterator[str]:
    """The URL of a database that nobody has used, as ``on_both`` says; a file is in ``folder``."""
    if not ON_POSTGRESQL and getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{folder / 'events.db'}"
        return
    with fresh_url("postgresql", _UNSYNCHRONISED, has_read_models=has_read_models) as url:
        yield url


@cache
def server_variables(database: Path) -> dict[str, str]:
    """How a server of a test finds its database: the file, or the schema that is there instead."""
    if not ON_POSTGRESQL:
        return {"EVENTBUS_DATABASE_URL": f"sqlite:///{database}"}
    pool = schemas()
    return {
        "EVENTBUS_DATABASE_URL": pool.url(pool.lend()), "EVENTBUS_FILES": str(database.parent),
    }  # fmt: skip


def use_postgresql() -> None:
    """Have every log that a test opens in an SQLite file be a schema of the server instead."""
    on_file = eventlog.open_database
    names: dict[str, str] = {}
    pool = schemas()

    def open_database(url: str, files: Path | None = None) -> Database:
        path = make_url(url).database if url.startswith("sqlite:///") else None
        if path is None:
            return on_file(url, files)
        name = names.get(path) or names.setdefault(path, pool.lend())
        return on_file(pool.url(name), Path(path).parent)

    eventlog.open_database = open_database
