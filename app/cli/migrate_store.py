"""`flask migrate-store`: a whole log into another database, and the proof that it is the same."""

from __future__ import annotations

import getpass
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.access.store import schema as access
from app.config import VARIABLES, Settings
from app.database_variables import database_problems
from eventbus.command.progress import Progress
from eventbus.command.screen import Screen
from eventbus.errors import EventBusError
from eventbus.log import schema
from eventbus.log.address import shown_url
from eventbus.log.migrations import LOG_MIGRATIONS, Migration
from eventbus.log.move.move import Move, Moved, Step
from eventbus.log.move.parts import Parts
from handlers import tables
from handlers.migrations import MIGRATIONS
from handlers.subscriptions import COMPONENT
from handlers.webhook import table as webhooks

COMPONENTS: Mapping[str, Sequence[Migration]] = {
    "log": LOG_MIGRATIONS,
    COMPONENT: MIGRATIONS,
    access.COMPONENT: access.MIGRATIONS,
    webhooks.COMPONENT: webhooks.MIGRATIONS,
}
DECLARED = [
    table
    for each in (schema.metadata, tables.metadata, access.metadata, webhooks.metadata)
    for table in each.sorted_tables
]
IS_DIFFERENT, IS_INTERRUPTED = 3, 130

_A_LINE_EVERY_S = 10.0


def register(app: Flask) -> None:
    """Add the command to ``flask``."""
    app.cli.add_command(migrate_store)


@click.command("migrate-store")
@click.argument("source")
@click.argument("target")
@click.option("--check", is_flag=True, help="Only compare the two, and change neither.")
@click.option("--leave-out", multiple=True, metavar="TABLE", help="A table that nobody needs.")
@with_appcontext
def migrate_store(source: str, target: str, check: bool, leave_out: tuple[str, ...]) -> None:
    """Copy the log at the URL SOURCE, with all that is kept with it, to the empty TARGET.

    From SQLite to PostgreSQL, or back. No server may have either open. Whatever interrupts it, the
    same command goes on where it was; until it has ended, no server opens TARGET. Ends with 0
    when both are the same, 3 when they are not, 130 after Ctrl-C, 1 for anything else.
    """
    screen = Screen.standard()
    told = _Told(screen)
    parts = Parts(COMPONENTS, DECLARED, leave_out)
    settings: Settings = current_app.extensions["eventbus"].settings
    urls = (_url(source), _url(target))
    interruptible = _Interruptible()

    def step(step: Step) -> None:
        told.step(step)
        interruptible.check()

    try:
        move = Move(*urls, parts, Path(settings.files_folder), step)
        with interruptible:
            moved = move.check() if check else move.run(_by())
    except (KeyboardInterrupt, EventBusError, OSError) as error:
        told.close()
        if not interruptible.is_interrupted:
            raise click.ClickException(str(error)) from None
        click.echo("interrupted; the same command goes on from here", err=True)
        sys.exit(IS_INTERRUPTED)
    told.close()
    _tell(move, moved, check)
    if not moved.is_same:
        sys.exit(IS_DIFFERENT)


class _Told:
    """Shows the steps: a bar on a terminal, else a line now and then."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar: Progress | None = None
        self._phase = ""
        self._before = 0
        self._began = self._told_at = 0.0

    def step(self, step: Step) -> None:
        now = time.monotonic()
        if step.phase != self._phase:
            self.close()
            self._phase, self._before = step.phase, step.done
            self._began = self._told_at = now
            self._bar = Progress(self._screen, step.phase, step.done / max(1, step.total))
        if step.phase == "checking":
            click.echo("checking that the source is whole", err=True)
            return
        took_s = max(1e-3, now - self._began)
        rate = (step.done - self._before) / took_s
        told = f"{step.done:,} of {step.total:,} rows  {rate:,.0f} rows/s  {step.table}"
        if self._screen.has_progress:
            assert self._bar is not None, "made with the phase"
            self._bar.show(step.done / max(1, step.total), told)
        elif now - self._told_at >= _A_LINE_EVERY_S:
            self._told_at = now
            verb = "copied" if step.phase == "copying" else "compared"
            left = "" if not rate else f", {(step.total - step.done) / rate:,.0f} s left"
            click.echo(
                f"{verb} {step.done:,} of {step.total:,} rows, {rate:,.0f} rows/s{left}", err=True
            )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.clear()


def _tell(move: Move, moved: Moved, check: bool) -> None:
    rows = sum(table.rows for table in moved.tables)
    if not check:
        rate = moved.rows / max(1e-3, moved.copying_s)
        click.echo(f"copied {moved.rows:,} rows in {moved.copying_s:.1f} s, {rate:,.0f} rows/s")
    shown_tables = [table for table in moved.tables if table.rows or table.difference]
    width = max((len(table.table) for table in shown_tables), default=0)
    for table in shown_tables:
        mark = "differs" if table.difference else "same"
        click.echo(
            f"  {table.table:<{width}}  {table.rows:>12,} rows  {mark}  sha256 {table.digest[:16]}"
        )
    if empty := len(moved.tables) - len(shown_tables):
        click.echo(f"  {empty} tables are empty in both")
    for name in moved.files:
        click.echo(f"  {name}  beside it, same")
    for table in moved.tables:
        if table.difference is not None:
            click.echo(f"different: {table.difference}", err=True)
    for finding in moved.findings:
        click.echo(f"different: {finding}", err=True)
    click.echo(
        f"compared {rows:,} rows of {len(moved.tables)} tables one by one, the versions of the "
        f"schemas and the next numbers, in {moved.comparing_s:.1f} s: "
        + ("all the same" if moved.is_same else "they differ")
    )
    if not check and moved.is_same:
        click.echo(
            f"{shown_url(move.target)} is a log now, up to #{moved.last_sequence:,}; set "
            "EVENTBUS_DATABASE_URL to it. The source is as it was: keep it, and start nothing on it"
        )
    elif not check:
        click.echo("the target takes no server; empty it and begin again", err=True)


def _url(text: str) -> str:
    """A URL as EVENTBUS_DATABASE_URL has it: a file's path is relative to the project."""
    (variable,) = (each for each in VARIABLES if each.name == "EVENTBUS_DATABASE_URL")
    try:
        url: str = variable.parse(text)
    except ValueError:
        raise click.UsageError(
            f"{variable.shown(text)!r} names no database; allowed: {variable.allowed}"
        ) from None
    if problems := database_problems(url):
        raise click.ClickException(problems[0].replace(variable.name, variable.shown(text)))
    return url


class _Interruptible:
    """Has Ctrl-C and SIGTERM end it between two chunks; the second one ends it at once.

    In the middle of a statement the driver could not clean up behind itself.
    """

    def __init__(self) -> None:
        self.is_interrupted = False
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.append((number, signal.signal(number, self._interrupt)))
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if that was wanted."""
        if self.is_interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.check()
        self.is_interrupted = True


def _by() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"  # a container's user may have no name
