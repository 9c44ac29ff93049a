"""`eventbus subscriptions`: how each does, pausing and resuming one."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, who
from eventbus.command.colours import state_colour
from eventbus.command.context import Context
from eventbus.command.errors import UsageError
from eventbus.command.moments import milliseconds
from eventbus.command.table import Cell, write_table

HEAD = ("subscription", "pattern", "state", "lag", "running", "retrying", "dead", "failures",
        "p50", "p95", "p99")  # fmt: skip
RIGHT = (3, 4, 5, 6, 7, 8, 9, 10)


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "subscriptions", run,
        help="list subscriptions with lag and latencies; pause or resume one",
        examples="""
        eventbus subscriptions
        eventbus subscriptions --json | jq -r 'select(.lag > 1000) | .name'
        eventbus subscriptions pause search-index --reason reindexing
        eventbus subscriptions resume search-index
        """,
    )  # fmt: skip
    parser.add_argument("action", nargs="?", choices=("pause", "resume"), metavar="pause|resume")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--reason", help="why, for the log")
    add_who(parser)


def run(context: Context) -> None:
    options, screen, server = context.options, context.screen, context.server
    if options.action is not None:
        _set(context)
        return
    found = server.get("/api/subscriptions")["subscriptions"]
    if context.as_json:
        for subscription in found:
            screen.json(subscription)
        return
    write_table(screen, HEAD, [row(subscription) for subscription in found], right=RIGHT)


def row(subscription: dict[str, Any]) -> list[Cell]:
    """A line of the table."""
    state = str(subscription["state"])
    numbers = [
        (f"{subscription[name]:,}", (colour,) if subscription[name] and colour else ())
        for name, colour in (
            ("lag", ""), ("running", ""), ("retrying", "yellow"), ("dead", "red"), ("failures", ""),
        )
    ]  # fmt: skip
    return [
        str(subscription["name"]),
        str(subscription["pattern"]),
        (state, (state_colour(state),)),
        *numbers,
        *(milliseconds(subscription[name]) for name in ("p50_ms", "p95_ms", "p99_ms")),
    ]


def _set(context: Context) -> None:
    from eventbus.command.server import token

    options, screen = context.options, context.screen
    if options.name is None:
        raise UsageError(f"NAME is needed: which subscription to {options.action}")
    body = {"by": who(options), "reason": options.reason}
    found = context.server.post(
        f"/api/subscriptions/{token(options.name)}/{options.action}",
        {name: value for name, value in body.items() if value is not None},
    )
    if context.as_json:
        screen.json(found)
    else:
        state = "paused" if options.action == "pause" else "resumed"
        screen.line(f"{found['name']} {'' if found['changed'] else 'was already '}{state}")
