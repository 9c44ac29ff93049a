"""Users and tokens as the command line changes them: on the running server, or in its database."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote

import click
from flask import current_app

from app.access import requests
from app.access.directory import Directory
from app.access.errors import AccessError
from app.access.oidc.client import WaysIn, client_of
from app.cli.server import server_at
from app.config import Settings
from app.database import open_log
from eventbus.actor import Actor
from eventbus.errors import EventBusError, LogLockedError

Body = dict[str, Any]


def ask(
    path: str, body: Body | None, locally: Callable[[Directory, str], Body], url: str | None
) -> Body:
    """What ``path`` below /api/access answers; without a server the same from the database.

    A ``body`` is posted. Raises click.ClickException.
    """
    settings: Settings = current_app.extensions["eventbus"].settings
    server = server_at(url, settings)
    try:
        if url is not None or server.is_there():
            full = f"/api/access/{path}"
            return server.get(full) if body is None else server.post(full, {**body, "by": _by()})
        return _in_database(settings, locally)
    except LogLockedError as error:
        raise click.ClickException(
            f"{error}. That process answers nothing at {server.url}; only a server that `make run` "
            "started can be changed while it runs"
        ) from None
    except (AccessError, EventBusError, OSError) as error:
        raise click.ClickException(str(error)) from None


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option --url, for a server elsewhere."""
    text = "Address of a server elsewhere, which gets the token in EVENTBUS_TOKEN."
    return click.option("--url", help=text)(function)


def shown(body: Body) -> str:
    """A row of names and values that are set, for people."""
    return "  ".join(f"{name}: {value}" for name, value in body.items() if value not in (None, ""))


def _in_database(settings: Settings, locally: Callable[[Directory, str], Body]) -> Body:
    ways = WaysIn(settings.password_login, client_of(settings))
    with closing(open_log(settings)) as log:
        return locally(Directory(log, ways=ways), Actor(_by(), "command line"))


def _by() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"  # a container's user may have no name


__all__ = ["ask", "option", "requests", "segment", "shown"]
