"""The running server, for the commands of `flask`: at the address that the settings say."""

from __future__ import annotations

import os

import click

from app.access.door import find_door
from app.config import Settings
from app.database import database_path
from eventbus.command.server import Server

TOKEN_VARIABLE = "EVENTBUS_TOKEN"


def default_url(settings: Settings) -> str:
    """The address at which a server with these settings answers. Raises click.UsageError."""
    if settings.port == 0:
        raise click.UsageError("PORT is 0, so the address is not known: give it with --url")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def server_at(url: str | None, settings: Settings) -> Server:
    """The server at ``url``; by default the one of the settings' database or address.

    It gets the token in EVENTBUS_TOKEN; when there is none, the database's own server gets what it
    has laid beside the database for this machine's command line.
    """
    url = url or own_url(settings)
    return Server(url, token_for(url, settings))


def own_url(settings: Settings) -> str:
    """The address of the server of the settings' database, else the one of the settings."""
    door = find_door(database_path(settings))
    return default_url(settings) if door is None else door.url


def token_for(url: str, settings: Settings) -> str | None:
    """What the server at ``url`` is shown."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token:
        return token
    door = find_door(database_path(settings))
    return door.secret if door is not None and door.url == url.rstrip("/") else None
