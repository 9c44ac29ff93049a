"""The database that the settings name: the log in it, and where its files are."""

from __future__ import annotations

from pathlib import Path

from app.config import Settings
from eventbus.log import EventLog
from eventbus.log.address import files_stem, is_on_server


def database_path(settings: Settings) -> Path:
    """The database's file; of one on a server, what the names of the files beside it begin with."""
    if is_on_server(settings.database_url):
        return files_stem(settings.database_url, Path(settings.files_folder))
    return Path(settings.database_url.removeprefix("sqlite:///").partition("?")[0])


def open_log(settings: Settings) -> EventLog:
    """Open or create the log. Raises LogError, LogLockedError, SchemaError, OSError."""
    database_path(settings).parent.mkdir(parents=True, exist_ok=True)
    return EventLog(settings.database_url, Path(settings.files_folder))
