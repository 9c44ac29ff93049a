"""`flask rebuild`: the read models from the log once more, or a check that they agree with it."""

from __future__ import annotations

import getpass
import time
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.server import server_at
from app.config import Settings
from app.database import open_log
from app.rebuild_news import described
from app.rebuilds import UNDER_WAY, finished, started
from app.runtime import handler_settings
from eventbus.command.errors import CommandError
from eventbus.command.interrupts import at_first, held_back
from eventbus.command.server import Server
from eventbus.errors import EventBusError, RebuildError
from eventbus.log.unit import Unit
from eventbus.timestamps import parse_time
from handlers.rebuild import rebuild as make_rebuild

_POLL_S = 0.3
# For so long a server may not know of a rebuild that it has begun: others of it are told of that,
# and one that is restarted never will.
_PATIENCE_S = 5.0
STOPPED = 3
"""The exit code of one that was stopped or overtaken: neither right nor wrong."""


def register(app: Flask) -> None:
    """Add the command to ``flask``."""
    app.cli.add_command(rebuild)


@click.command("rebuild")
@click.option("--check", is_flag=True, help="Only compare, and end with 1 when something differs.")
@click.option("--url", help="Address of the server; by default that of HOST and PORT.")
@with_appcontext
def rebuild(check: bool, url: str | None) -> None:
    """Rebuild the read models from the log, on the running server or on the closed database.

    Rows that are not what a replay of the log gives are replaced in one transaction, and shown.
    It ends with 3 when it was stopped, also because events come in faster than they are folded.
    """
    settings: Settings = current_app.extensions["eventbus"].settings
    server = server_at(url, settings)
    try:
        if server.is_there():
            outcome = _on_server(server, check)
        elif url is not None:
            raise click.ClickException(f"no server answers at {url}")
        else:
            outcome = _on_database(settings, check)
    except EventBusError as error:
        raise click.ClickException(str(error)) from None
    _tell(outcome, check)


def _on_server(server: Server, check: bool) -> dict[str, Any]:
    by, began = getpass.getuser(), None
    try:
        with held_back():  # it has begun before its answer is here
            began = server.post("/api/rebuild", {"check": check, "by": by})["rebuild"]
        return _followed(server, began)
    except KeyboardInterrupt:
        if began is None:
            raise
        click.echo("stopping", err=True)
        server.post("/api/rebuild/stop", {"by": by})
        return _followed(server, began)


def _followed(server: Server, began: dict[str, Any]) -> dict[str, Any]:
    """How it ended; says meanwhile how far it is."""
    shown, seen_at = "", time.monotonic()
    error: CommandError | None = None
    while True:
        found: dict[str, Any] | None = None
        try:
            found, error = server.get("/api/rebuild")["rebuild"], None
        except CommandError as problem:  # it may be on its way to be there again
            error = problem
        if found is not None and found["started_at"] == began["started_at"]:
            if found["finished_at"] is not None:
                return found
            seen_at = time.monotonic()
            line = f"{found['state']}: {found['position']:,} of {found['upto']:,}{_speed(found)}"
            if line != shown:
                click.echo(line, err=True)
            shown = line
        elif time.monotonic() - seen_at > _PATIENCE_S:
            failure = click.ClickException(
                str(error) if error is not None
                else "the server does not know of it any more: it was restarted meanwhile, or "
                "another one has begun; GET /api/rebuild tells how that goes"
            )  # fmt: skip
            failure.exit_code = STOPPED
            raise failure
        time.sleep(_POLL_S)


def _speed(progress: dict[str, Any]) -> str:
    """Whether it gains on what comes in, once that is known."""
    folded, recorded = progress["folded_per_s"], progress["recorded_per_s"]
    if progress["state"] != "folding" or folded is None:
        return ""
    behind = "" if folded > recorded else ", which is too slow"
    return f", {folded:,.0f} a second while {recorded:,.0f} come in{behind}"


def _on_database(settings: Settings, check: bool) -> dict[str, Any]:
    by = getpass.getuser()
    log = open_log(settings)
    try:
        if not log.rebuilding.take():
            raise RebuildError(UNDER_WAY)
        job = make_rebuild(log, handler_settings(settings), is_check=check)
        with at_first(job.stop):
            if not check:
                log.commit(Unit([started(by)]))
            try:
                job.run()
            finally:
                if not check:
                    log.commit(Unit([finished(by, job.progress)]))
        return described(job.progress)
    finally:
        log.close()


def _tell(progress: dict[str, Any], check: bool) -> None:
    if progress["state"] != "done":
        failure = click.ClickException(progress["error"] or progress["state"])
        if progress["state"] == "stopped":
            failure.exit_code = STOPPED
        raise failure
    for line in progress["examples"]:
        click.echo(line)
    count, hidden = progress["differences"], progress["differences"] - len(progress["examples"])
    if hidden:
        click.echo(f"... and {hidden:,} more")
    verb = "differ" if check else "differed and were replaced"
    took = parse_time(progress["finished_at"]) - parse_time(progress["started_at"])
    click.echo(
        f"{progress['handled']:,} deliveries folded up to #{progress['position']} in "
        f"{took.total_seconds():.1f} s; {count:,} rows {verb}"
    )
    if progress["failures"]:
        click.echo(f"{progress['failures']:,} deliveries that had succeeded fail in a replay")
    if check and (count or progress["failures"]):
        raise SystemExit(1)
