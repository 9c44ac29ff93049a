"""The URL of a database on a server: which are meant, and where this machine keeps files for it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_SCHEMES = ("postgresql://", "postgres://")  # the second is what many hosts give out
_SECRET_OPTIONS = frozenset({"password", "sslpassword"})  # options are shown, passwords are not


def is_on_server(url: str) -> bool:
    """Whether a database URL is of one on a database server."""
    return url.startswith(_SCHEMES)


def server_url(text: str) -> str:
    """``postgresql://user:password@host:port/database?option=value`` in its one form.

    Raises ValueError for another, and for one that would show its password where URLs are shown.
    """
    try:
        url: URL = make_url("postgresql://" + text.partition("://")[2])
    except (ArgumentError, ValueError) as error:
        raise ValueError(text) from error
    has_secret_option = not _SECRET_OPTIONS.isdisjoint(url.query)
    # What has an "@" in the host's place is the rest of a password that was not escaped.
    if not url.database or has_secret_option or "@" in (url.host or "") or not text.isprintable():
        raise ValueError(text)
    return url.render_as_string(hide_password=False)


def shown_url(text: str) -> str:
    """A database URL without its password."""
    return make_url(text).render_as_string(hide_password=True)


def files_stem(url: str | URL, folder: Path | None) -> Path:
    """The path that the names of all files beside a database on a server begin with."""
    url = make_url(url)
    folder = folder or Path(tempfile.gettempdir()) / "eventbus"
    digest = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:8]
    return folder / f"{url.host or 'local'}-{url.database or 'default'}-{digest}.pg"
