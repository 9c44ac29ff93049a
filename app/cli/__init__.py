"""The commands of `flask`, one file for each noun; none of them starts a bus in its own process."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Add the commands."""
    # Only for the command line: a server never needs them.
    from app.cli import backup, events, migrate_store, rebuild, retention, tokens, users

    for module in (backup, events, migrate_store, rebuild, retention, tokens, users):
        module.register(app)
