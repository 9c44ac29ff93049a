"""`flask backup`, `flask restore`, `flask check`: copies of the database, and its health."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.access.store import schema
from app.database import database_path
from eventbus.errors import EventBusError
from eventbus.log.address import is_on_server, shown_url
from eventbus.log.backup import Progress, make_backup
from eventbus.log.integrity import IntegrityCheck, IntegrityReport
from eventbus.log.restore import prove_backup, restore_backup
from eventbus.timestamps import format_time
from handlers.migrations import MIGRATIONS
from handlers.subscriptions import COMPONENT
from handlers.webhook import table

KNOWN_VERSIONS = {
    COMPONENT: len(MIGRATIONS),
    schema.COMPONENT: len(schema.MIGRATIONS),
    table.COMPONENT: len(table.MIGRATIONS),
}

_A_PATH = click.Path(dir_okay=False, path_type=Path)


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    for command in (backup, restore, check):
        app.cli.add_command(command)


@click.command("backup")
@click.argument("path", type=_A_PATH)
@with_appcontext
def backup(path: Path) -> None:
    """Copy the database to the new file PATH, also while the server runs.

    The copy is of one moment, is checked, and has its name only when it is complete.
    """
    _refuse_on_server("is copied while it runs by", f"pg_dump --format=custom --file={path}")
    try:
        made = make_backup(_database(), path.absolute(), _progress("copied"))
    except (EventBusError, OSError) as error:
        raise click.ClickException(str(error)) from None
    newest = "" if made.last_time is None else f" of {format_time(made.last_time)}"
    click.echo(
        f"{made.path}: {made.event_count:,} events, the newest #{made.last_sequence}{newest}; "
        f"{made.size_bytes / 1e6:,.1f} MB in {made.duration_s:.1f} s; checked"
    )


@click.command("restore")
@click.argument("path", type=_A_PATH)
@click.option("--check-only", is_flag=True, help="Prove the backup and change nothing.")
@with_appcontext
def restore(path: Path, check_only: bool) -> None:
    """Put the backup PATH in the place of the database, which no server may have open.

    PATH is proved first. What was there is kept beside it under a new name.
    """
    _refuse_on_server(
        "is restored, while no server of Event Bus runs, by",
        "pg_restore --clean --if-exists --single-transaction --dbname", f" {path}",
    )  # fmt: skip
    target = _database()
    try:
        if check_only:
            _tell(path, prove_backup(path, KNOWN_VERSIONS))
            return
        restored = restore_backup(path, target, KNOWN_VERSIONS, _progress("restored"))
    except (EventBusError, OSError) as error:
        raise click.ClickException(str(error)) from None
    _tell(path, restored.report)
    click.echo(f"restored to {restored.path}, which records that as a further event")
    if restored.kept is not None:
        click.echo(f"what was there is kept as {restored.kept}")


@click.command("check")
@with_appcontext
def check() -> None:
    """Check the whole database, also while the server runs; ends with 1 when something is wrong."""
    _refuse_on_server("is checked by", "pg_amcheck")
    path = _database()
    try:
        report = IntegrityCheck(path).run()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be checked: {error}") from None
    assert report is not None, "nobody interrupts it"
    _tell(path, report)
    if not report.is_ok:
        sys.exit(1)


def _database() -> Path:
    return database_path(current_app.extensions["eventbus"].settings)


def _refuse_on_server(what: str, command: str, rest: str = "") -> None:
    """PostgreSQL has its own programs for it, which know more than a copy of rows would have."""
    url = current_app.extensions["eventbus"].settings.database_url
    if is_on_server(url):
        raise click.ClickException(
            f"a database in PostgreSQL {what} its own program: {command} "
            f"'{shown_url(url)}'{rest}; docs/postgresql.md says more"
        )


def _tell(path: Path, report: IntegrityReport) -> None:
    for sentence in report.problems + report.findings:
        click.echo(f"wrong: {sentence}", err=True)
    if report.problems:
        click.echo(f"{path} is damaged; restore a backup with `flask restore`", err=True)
        return
    newest = "" if report.last_time is None else f" of {format_time(report.last_time)}"
    verdict = "whole" if report.is_ok else "whole, but its rows contradict each other"
    click.echo(
        f"{path} is {verdict}: {report.event_count or 0:,} events, the newest "
        f"#{report.last_sequence}{newest}; checked in {report.duration_s:.1f} s"
    )


def _progress(what: str) -> Progress | None:
    """Shows on a terminal how far it is; a log file needs no such lines."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        click.echo(f"\r{what}: {100 * done // max(1, total)} %", err=True, nl=done >= total)

    return show
