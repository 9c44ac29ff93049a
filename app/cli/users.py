"""`flask users`: who may sign in. It works while the server runs, and while it does not."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from app.access import passwords
from app.access.scopes import ROLES
from app.cli.directory import ask, option, requests, segment

_MANY_CHARS = 4_096


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    app.cli.add_command(users)


@click.group("users")
def users() -> None:
    """Who may sign in. With the first user or token, everything needs one."""


_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, one line."
)
_role = click.Choice(ROLES)


@users.command("add")
@click.argument("name")
@click.option("--role", type=_role, default="viewer", show_default=True)
@_stdin
@option
@with_appcontext
def add(name: str, role: str, password_stdin: bool, url: str | None) -> None:
    """Add the user NAME, who signs in with a password; the first one must be an admin."""
    body = {"name": name, "role": role, "password": _password(name, password_stdin)}
    made = ask("users", body, lambda d, by: requests.add_user(d, body, by), url)
    click.echo(f"{made['name']} can sign in, as {made['role']}")


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@option
@with_appcontext
def list_(as_json: bool, url: str | None) -> None:
    """List all users."""
    found = ask("users", None, lambda d, _: requests.list_users(d), url)
    if as_json:
        click.echo(json.dumps(found))
        return
    for user in found["users"]:
        state = "  disabled" if user["disabled"] else ""
        state = f"  by {user['issuer']}{state}" if user["login"] == "oidc" else state
        seen = user["last_seen_at"] or "never"
        click.echo(f"{user['name']:<24} {user['role']:<9} last seen {seen}{state}")
    if not found["users"]:
        click.echo("nobody; `flask users add NAME --role admin` adds the first user", err=True)


@users.command("role")
@click.argument("name")
@click.argument("role", type=_role)
@option
@with_appcontext
def role(name: str, role: str, url: str | None) -> None:
    """Give the user NAME another ROLE."""
    changed = _change(name, "role", {"role": role}, url)
    click.echo(f"{changed['name']} is {changed['role']} now")


@users.command("password")
@click.argument("name")
@_stdin
@option
@with_appcontext
def password(name: str, password_stdin: bool, url: str | None) -> None:
    """Give the user NAME another password, and sign them out everywhere."""
    body = {"password": _password(name, password_stdin)}
    click.echo(f"{_change(name, 'password', body, url)['name']} has another password")


@users.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let them sign in again.")
@option
@with_appcontext
def disable(name: str, undo: bool, url: str | None) -> None:
    """Sign the user NAME out everywhere, and let them sign in no more."""
    changed = _change(name, "enable" if undo else "disable", {}, url)
    click.echo(f"{changed['name']} can {'sign in again' if undo else 'not sign in any more'}")


@users.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--open", "opens", is_flag=True, help="Also the last user: nobody signs in then.")
@option
@with_appcontext
def remove(name: str, yes: bool, opens: bool, url: str | None) -> None:
    """Remove the user NAME."""
    if not yes:
        click.confirm(f"remove {name}?", abort=True, err=True)
    click.echo(f"{_change(name, 'remove', {'open': opens}, url)['name']} is removed")


def _change(name: str, action: str, body: dict[str, Any], url: str | None) -> dict[str, Any]:
    return ask(
        f"users/{segment(name)}/{action}", body,
        lambda d, by: requests.change_user(d, name, action, body, by), url,
    )  # fmt: skip


def _password(name: str, from_stdin: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline(_MANY_CHARS).rstrip("\r\n")
    else:
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if what := passwords.problem(given, name):
        raise click.ClickException(f"the password {what}")
    return str(given)
