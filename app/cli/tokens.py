"""`flask tokens`: what programs prove themselves with. Works with and without a running server."""

from __future__ import annotations

import json

import click
from flask import Flask
from flask.cli import with_appcontext

from app.access.scopes import SCOPES, SCOPES_OF
from app.cli.directory import ask, option, requests, segment


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    app.cli.add_command(tokens)


@click.group("tokens")
def tokens() -> None:
    """What programs prove themselves with. With the first one, everything needs a token or user."""


@tokens.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice((*SCOPES, *SCOPES_OF)),
    help="What it may do, or a role for all that this may; can be given many times.",
)  # fmt: skip
@click.option("--type", "pattern", metavar="PATTERN", help="It publishes only types that match.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="It expires after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@option
@with_appcontext
def create(
    name: str, scopes: tuple[str, ...], pattern: str | None, days: float | None, as_json: bool,
    url: str | None,
) -> None:  # fmt: skip
    """Make a token for the purpose NAME, and print it: it is told this once."""
    body = {"name": name, "scopes": list(scopes), "pattern": pattern, "days": days}
    made = ask("tokens", body, lambda d, by: requests.add_token(d, body, by), url)
    if as_json:
        click.echo(json.dumps(made))
        return
    until = f", until {made['expires_at']}" if made["expires_at"] else ""
    click.echo(f"{made['name']} may {', '.join(made['scopes'])}{until}", err=True)
    click.echo(made["token"])


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@option
@with_appcontext
def list_(as_json: bool, url: str | None) -> None:
    """List all tokens, without what proves them."""
    found = ask("tokens", None, lambda d, _: requests.list_tokens(d), url)
    if as_json:
        click.echo(json.dumps(found))
        return
    for token in found["tokens"]:
        ends = "expired" if token["expired"] else f"until {token['expires_at'] or 'revoked'}"
        what = ",".join(token["scopes"]) + (f" {token['pattern']}" if token["pattern"] else "")
        used = token["last_used_at"] or "never"
        click.echo(f"{token['id']:>5}  {token['name']:<24} {what:<30} last used {used}  {ends}")
    if not found["tokens"]:
        click.echo("none; `flask tokens create NAME --scope publish` makes one", err=True)


@tokens.command("revoke")
@click.argument("token")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--open", "opens", is_flag=True, help="Also the last one: nobody signs in then.")
@option
@with_appcontext
def revoke(token: str, yes: bool, opens: bool, url: str | None) -> None:
    """End a TOKEN, by name or number, at once; its open connections are closed."""
    if not yes:
        click.confirm(f"revoke {token}?", abort=True, err=True)
    body = {"open": opens}
    gone = ask(
        f"tokens/{segment(token)}/revoke", body,
        lambda d, by: requests.revoke_token(d, token, body, by), url,
    )  # fmt: skip
    click.echo(f"{gone['name']} is revoked")
