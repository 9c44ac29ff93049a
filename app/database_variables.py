"""The environment variables of the database; part of those in app/config.py."""

from __future__ import annotations

from app.variables import PROJECT_ROOT, Variable, yes_or_no
from eventbus.errors import MissingPackageError
from eventbus.log.address import is_on_server, server_url
from eventbus.log.postgresql import check_installed

DEFAULT_DATABASE_URL = f"sqlite:///{PROJECT_ROOT / 'var' / 'events.db'}"
DEFAULT_FILES_FOLDER = str(PROJECT_ROOT / "var")


def database_problems(url: str) -> list[str]:
    """Why a URL that is right cannot be used here: its driver is not installed."""
    if is_on_server(url):
        try:
            check_installed()
        except MissingPackageError as error:
            return [f"EVENTBUS_DATABASE_URL cannot be used: {error}"]
    return []


def _database_url(text: str) -> str:
    if is_on_server(text):
        return server_url(text)
    path, mark, options = text.removeprefix("sqlite:///").partition("?")
    if not text.startswith("sqlite:///") or not path or path == ":memory:" or "\x00" in text:
        raise ValueError(text)
    return f"sqlite:///{PROJECT_ROOT / path}{mark}{options}"


def _folder(text: str) -> str:
    path = PROJECT_ROOT / text
    if "\x00" in text or (path.exists() and not path.is_dir()):
        raise ValueError(text)
    return str(path)


DATABASE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_DATABASE_URL", "database_url", _database_url,
        "`sqlite:///` and the path of a file: `sqlite:///var/events.db` below the project's "
        "directory, `sqlite:////srv/events.db` from the root; or "
        "`postgresql://user:password@host:5432/database`, whose options behind a `?` are those of "
        "libpq, but for the password",
        "Where the log and everything made from it is kept. A file has one process at a time.",
    ),
    Variable(
        "EVENTBUS_FILES", "files_folder", _folder,
        "the path of a folder, below the project's directory unless it begins with `/`",
        "Where this machine keeps what stands beside a database in PostgreSQL: the index for "
        "searching, snapshots for time travel. All of it is made again when it is missing.",
    ),
    Variable(
        "EVENTBUS_SHARE_SUBSCRIPTIONS", "share_subscriptions", yes_or_no, "yes or no",
        "Whether processes on one log in PostgreSQL share the subscriptions of your handlers, "
        "webhooks and remote handlers out among them; else one serves all. The same at each.",
    ),
)  # fmt: skip
