"""The commands of `flask`, one file for each noun; none of them starts a bus in its own process."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Add the commands."""
    from app.cli import backup, rebuild  # only for the command line: a server never needs them

    for module in (backup, rebuild):
        module.register(app)
