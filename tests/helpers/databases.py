"""Every test's log in PostgreSQL instead of SQLite: ``EVENTBUS_TEST_DATABASE=postgresql``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from eventbus.log import eventlog
from eventbus.log.database import Database
from tests.services import ROOT, Postgresql

ON_POSTGRESQL = os.environ.get("EVENTBUS_TEST_DATABASE") == "postgresql"


def running_postgresql() -> Postgresql:
    """The server that `make services` has started; skips the test when there is none."""
    root = Path(os.environ.get("EVENTBUS_TEST_SERVICES", ROOT))
    server = Postgresql(root / Postgresql.name)
    if not server.is_running:
        pytest.skip("PostgreSQL does not run here; `make services` starts it")
    return server


def schema_url(server: Postgresql, name: str) -> str:
    """The URL of a schema of its own in the server's database; it is made if need be."""
    schema = f"test_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    server.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{server.url}?options={quote(f'-csearch_path={schema}')}"


def use_postgresql() -> None:
    """Have every log that a test opens in an SQLite file be a schema of the server instead."""
    on_file = eventlog.open_database
    server = running_postgresql()

    def open_database(url: str, files: Path | None = None) -> Database:
        path = make_url(url).database if url.startswith("sqlite:///") else None
        if path is None:
            return on_file(url, files)
        return on_file(schema_url(server, path), Path(path).parent)

    eventlog.open_database = open_database
