"""`flask demo`: a simulated evaluation platform that publishes to a running server."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Add the command to ``flask``."""
    from app.demo.command import demo  # only for the command line: a server never needs it

    app.cli.add_command(demo)
