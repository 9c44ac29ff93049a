"""`flask retention`: what may go, having it go now, and how much room is left."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.server import server_at
from app.config import Settings
from app.pages.summary import size
from eventbus.command.errors import CommandError
from eventbus.command.server import Server
from eventbus.timestamps import parse_time

_POLL_S = 0.3


def register(app: Flask) -> None:
    """Add the command to ``flask``."""
    app.cli.add_command(retention)


@click.command("retention")
@click.option("--dry-run", is_flag=True, help="Only say what a run would remove.")
@click.option("--run", "is_run", is_flag=True, help="Remove it now, and wait for the end.")
@click.option("--url", help="Address of the server; by default that of HOST and PORT.")
@with_appcontext
def retention(dry_run: bool, is_run: bool, url: str | None) -> None:
    """Show the log's size, its growth and what retention did last, on the running server.

    With --dry-run or --run: what EVENTBUS_RETENTION and EVENTBUS_MAX_DATABASE_BYTES say has to go.
    """
    if dry_run and is_run:
        raise click.UsageError("--dry-run and --run exclude each other")
    settings: Settings = current_app.extensions["eventbus"].settings
    server = server_at(url, settings)
    try:
        if dry_run:
            _tell("would go", server.post("/api/retention", {"dry_run": True}))
        elif is_run:
            _run(server)
        else:
            _show(server.get("/api/storage"))
    except CommandError as error:
        raise click.ClickException(str(error)) from None


def _run(server: Server) -> None:
    server.post("/api/retention", {"by": getpass.getuser()})
    while (state := server.get("/api/storage")["retention"])["is_running"]:
        time.sleep(_POLL_S)
    last = state["last_run"]
    if last is None:
        raise click.ClickException(
            "another process of the server runs it; its log and `bus.retention.removed` tell how"
        )
    _tell("went", last)
    click.echo(f"longest that commits had to wait: {state['longest_hold_ms']:.1f} ms")
    if last["error"]:
        raise click.ClickException(last["error"])


def _tell(verb: str, found: dict[str, Any]) -> None:
    for rule, counts in found["rules"].items():
        click.echo(
            f"{rule}: {counts['events']:,} events and {counts['payloads']:,} payloads {verb}"
        )
    if not found["rules"]:
        click.echo(f"nothing {verb}")
    if found["held_back"]:
        click.echo(f"{found['held_back']:,} held back by unfinished deliveries")
    if found["is_too_large"]:
        click.echo("the database is larger than EVENTBUS_MAX_DATABASE_BYTES")


def _show(found: dict[str, Any]) -> None:
    growth, free = found["growth_bytes_per_day"], found["disk_free_bytes"]
    room = "" if free is None else f"; {size(free)} free on the disk"
    click.echo(
        f"{found['path']}: {size(found['file_bytes'] + found['wal_bytes'])}, "
        f"{found['events']:,} events since "
        f"{found['oldest_at'] or 'never'}\n"
        f"grows by {'an unknown amount' if growth is None else size(growth)} a day{room}"
    )
    for name, what in (("limit_at", "the limit is reached"), ("full_at", "the disk is full")):
        if found[name]:
            click.echo(f"at this rate {what} about {_about(parse_time(found[name]))}")
    for rule in found["retention"]["rules"] or ["no rule: everything is kept"]:
        click.echo(f"  {rule}")


def _about(at: datetime) -> str:
    """No finer than what is known of it: the day, or the hour when it is near."""
    is_near = at - datetime.now(UTC) < timedelta(days=2)
    return f"{at:%Y-%m-%d %H:00} UTC" if is_near else f"{at:%Y-%m-%d}"
