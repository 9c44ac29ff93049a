"""`flask events …`: the command `eventbus` for a checkout, which knows where its server is."""

from __future__ import annotations

import sys
from typing import Any, cast

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.offline import FallbackConnection
from app.cli.server import own_url, token_for
from eventbus.command.main import main
from eventbus.command.screen import Screen
from eventbus.command.server import Server

# These are older than `flask events`, and stay for whoever has them in scripts.
_SHORT = ("redrive", "discard", "replay")


class Forwarded(click.Command):
    """Hands its arguments on as they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    app.cli.add_command(_command("events", (), "Everything that the command `eventbus` does."))
    for name in _SHORT:
        app.cli.add_command(_command(name, (name,), f"The same as `flask events {name}`."))


def _find_server(screen: Screen, url: str | None, token: str | None, timeout_s: float) -> Server:
    """The server at ``url``; by default that of the settings, or its database without it."""
    if url is not None:
        return Server(url, token, timeout_s)
    app = cast(Any, current_app)._get_current_object()
    settings = app.extensions["eventbus"].settings

    def tell(text: str) -> None:
        screen.note(screen.paint_note(text, "dim"))

    url = own_url(settings)
    return Server(
        url, token or token_for(url, settings), timeout_s,
        lambda connection: FallbackConnection(connection, app, settings, tell),
    )  # fmt: skip


def _command(name: str, before: tuple[str, ...], help: str) -> click.Command:
    @click.pass_context
    @with_appcontext
    def run(ctx: click.Context, **_: Any) -> None:
        sys.exit(main([*before, *ctx.args], prog="flask events", find_server=_find_server))

    return Forwarded(name, callback=run, help=help, add_help_option=False)
