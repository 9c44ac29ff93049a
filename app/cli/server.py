"""The running server, for the commands of `flask`: at the address that the settings say."""

from __future__ import annotations

import os

import click

from app.config import Settings
from eventbus.command.server import Server


def default_url(settings: Settings) -> str:
    """The address at which a server with these settings answers. Raises click.UsageError."""
    if settings.port == 0:
        raise click.UsageError("PORT is 0, so the address is not known: give it with --url")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def server_at(url: str | None, settings: Settings) -> Server:
    """The server at ``url``, by default at the address of the settings."""
    return Server(url or default_url(settings), os.environ.get("EVENTBUS_TOKEN") or None)
