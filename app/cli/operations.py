"""`flask redrive`, `flask discard`, `flask replay`: operations of the running server, followed."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.server import Server, ServerError

_POLL_S = 0.2
_INTERRUPTED = 130  # what a shell gives for Ctrl-C

Body = dict[str, Any]


def register(app: Flask) -> None:
    """Add the commands to ``flask``."""
    for command in (redrive, discard, replay):
        app.cli.add_command(command)


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_common = _options(
    click.option("--dry-run", is_flag=True, help="Count only, change nothing."),
    click.option("--yes", is_flag=True, help="Do not ask before it begins."),
    click.option("--by", help="Who does it, for the log; by default your login name."),
    click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object."),
    click.option("--url", help="Address of the bus; by default that of HOST and PORT."),
)
_times = _options(
    click.option("--since", metavar="TIME", help="RFC 3339, such as 2026-11-24T08:00:00Z."),
    click.option("--until", metavar="TIME", help="RFC 3339; not included."),
)
_selection = _options(
    click.option("--type", "pattern", metavar="PATTERN", help="Of events whose type matches."),
    click.option("--subscription", metavar="NAME", help="At this subscription only."),
    click.option("--error-class", metavar="NAME", help="That died of this error."),
    _times,
    click.option(
        "--delivery", "deliveries", multiple=True, metavar="SEQUENCE@SUBSCRIPTION",
        help="This one; may be given many times.",
    ),
    click.option("--all", "is_all", is_flag=True, help="Every dead letter there is."),
)  # fmt: skip


@click.command("redrive")
@_selection
@click.option("--reason", help="Why, for the log.")
@_common
@with_appcontext
def redrive(reason: str | None, **options: Any) -> None:
    """Deliver dead letters again, with all their attempts anew.

    --since and --until are when they died. Ctrl-C stops it; what it did stays done. Ends with 0
    when all that was selected is delivered again (or nothing was), with 1 when not, with 130 when
    it was interrupted.
    """
    _run("redrive", {**_selected(options), "reason": reason}, options)


@click.command("discard")
@_selection
@click.option("--reason", help="Why nobody will miss them; needed unless --dry-run.")
@_common
@with_appcontext
def discard(reason: str | None, **options: Any) -> None:
    """Give dead letters up for good; they stay visible at their events.

    --since and --until are when they died. Exit codes as for redrive.
    """
    if not options["dry_run"] and not (reason or "").strip():
        raise click.UsageError("--reason is needed: say why nobody will miss these deliveries")
    _run("discard", {**_selected(options), "reason": reason}, options)


@click.command("replay")
@click.argument("subscription")
@click.option("--type", "pattern", metavar="PATTERN", help="Only events whose type matches.")
@click.option("--from", "first", type=click.IntRange(1), help="From this sequence.")
@click.option("--to", "last", type=click.IntRange(1), help="Up to this sequence, included.")
@_times
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events per second.")
@click.option("--reason", help="Why, for the log.")
@_common
@with_appcontext
def replay(
    subscription: str, pattern: str | None, first: int | None, last: int | None,
    rate: float | None, reason: str | None, **options: Any,
) -> None:  # fmt: skip
    """Deliver recorded events again to one durable SUBSCRIPTION.

    --since and --until are the events' times. Exit codes as for redrive.
    """
    body = {
        "subscription": subscription, "type": pattern, "first": first, "last": last,
        "since": options["since"], "until": options["until"], "rate": rate, "reason": reason,
    }  # fmt: skip
    _run("replay", body, options)


def _selected(options: Body) -> Body:
    names = {"type": "pattern", "subscription": "subscription", "error_class": "error_class",
             "since": "since", "until": "until"}  # fmt: skip
    given = {name: options[o] for name, o in names.items() if options[o] is not None}
    if options["deliveries"]:
        if given or options["is_all"]:
            raise click.UsageError("--delivery stands alone: it names single deliveries")
        return {"deliveries": [_delivery(text) for text in options["deliveries"]]}
    if bool(given) == options["is_all"]:
        raise click.UsageError("say which dead letters: by conditions, by --delivery, or --all")
    return {"filter": given}


def _delivery(text: str) -> Body:
    sequence, _, name = text.partition("@")
    if not sequence.isdecimal() or not name:
        raise click.BadParameter(f"{text!r} is not like 42@my-handler", param_hint="--delivery")
    return {"sequence": int(sequence), "subscription": name}


def _run(kind: str, body: Body, options: Body) -> None:
    body = {name: value for name, value in body.items() if value is not None}
    body["by"] = options["by"] or _login_name()
    server = Server.at(options["url"], current_app.extensions["eventbus"].settings)
    path = f"/api/deliveries/{kind}"
    try:
        preview = server.post(path, {**body, "dry_run": True})
        if options["dry_run"]:
            _tell(preview, options["as_json"], _previewed(kind, preview))
            return
        click.echo(_previewed(kind, preview), err=True)
        if not options["yes"] and preview["total"]:
            click.confirm("go on?", abort=True, err=True)
        operation = server.post(path, body)
        operation, is_interrupted = _follow(server, operation, options["by"] or body["by"])
    except ServerError as error:
        raise click.ClickException(str(error)) from None
    _tell(operation, options["as_json"], _outcome(operation))
    if is_interrupted:
        sys.exit(_INTERRUPTED)
    if operation["state"] != "finished":
        sys.exit(1)


def _follow(server: Server, operation: Body, by: str) -> tuple[Body, bool]:
    """The operation when it has ended, and whether Ctrl-C ended it."""
    path = f"/api/operations/{operation['id']}"
    try:
        with click.progressbar(
            length=operation["total"], label=f"{operation['kind']} {operation['id']}",
            file=sys.stderr,
        ) as bar:  # fmt: skip
            while True:
                bar.update(operation["done"] + operation["skipped"] - bar.pos)
                if operation["state"] != "running":
                    return operation, False
                time.sleep(_POLL_S)
                operation = server.get(path)
    except KeyboardInterrupt:
        click.echo("\nstopping", err=True)
        return server.post(f"{path}/stop", {"by": by}), True


def _previewed(kind: str, preview: Body) -> str:
    count = f"{preview['total']:,}"
    what = f"{count} events" if kind == "replay" else f"{count} dead letters"
    lines = [f"{kind}: {what} selected"]
    lines += [f"  {n:>9,}  {name}" for name, n in preview["subscriptions"].items()]
    if preview["skipped"]:
        lines.append(f"  {preview['skipped']:,} of them will be skipped")
    for name, n in preview["excluded"].items():
        lines.append(f"  {n:,} more of {name!r} cannot be redriven: nobody is subscribed to it now")
    return "\n".join(lines)


def _outcome(operation: Body) -> str:
    done = {"redrive": "made pending again", "discard": "discarded", "replay": "made pending again"}
    text = (
        f"{operation['kind']} {operation['id']} {operation['state']}: of {operation['total']:,} "
        f"selected {operation['done']:,} {done[operation['kind']]}, {operation['skipped']:,} "
        "skipped"
    )
    now = operation.get("outcomes")
    if now and operation["kind"] != "discard":
        text += "; now " + ", ".join(f"{n:,} {state}" for state, n in sorted(now.items()))
    return text + (f" ({operation['error']})" if operation["error"] else "")


def _tell(value: Body, as_json: bool, text: str) -> None:
    click.echo(json.dumps(value) if as_json else text)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"  # a container's user may have no name
