"""`flask events …`: the command `eventbus` for a checkout, which knows where its server is."""

from __future__ import annotations

import sys
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.server import default_url
from eventbus.command.main import main

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


def _command(name: str, before: tuple[str, ...], help: str) -> click.Command:
    @click.pass_context
    @with_appcontext
    def run(ctx: click.Context, **_: Any) -> None:
        settings = current_app.extensions["eventbus"].settings
        code = main(
            [*before, *ctx.args], prog="flask events", default_url=lambda: default_url(settings)
        )
        sys.exit(code)

    return Forwarded(name, callback=run, help=help, add_help_option=False)
