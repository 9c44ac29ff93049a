"""`eventbus subscriptions`: how each does, pausing, resuming and ending one."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, who
from eventbus.command.colours import state_colour
from eventbus.command.context import Context
from eventbus.command.errors import CommandError, MissingError, UsageError
from eventbus.command.moments import milliseconds
from eventbus.command.table import Cell, write_table

HEAD = ("subscription", "pattern", "state", "lag", "running", "retrying", "dead", "failures",
        "p50", "p95", "p99")  # fmt: skip
RIGHT = (3, 4, 5, 6, 7, 8, 9, 10)


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "subscriptions", run,
        help="list subscriptions with lag and latencies; pause, resume or end one",
        about="`end` is for a name that nothing serves any more, as that of a renamed handler: it "
        "is forgotten, and what it has not finished is cancelled. It counts first and asks.",
        examples="""
        eventbus subscriptions
        eventbus subscriptions --json | jq -r 'select(.lag > 1000) | .name'
        eventbus subscriptions pause search-index --reason reindexing
        eventbus subscriptions resume search-index
        eventbus subscriptions end old-name --yes
        """,
    )  # fmt: skip
    parser.add_argument(
        "action", nargs="?", choices=("pause", "resume", "end"), metavar="pause|resume|end"
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--reason", help="why it is paused or resumed, for the log")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before one is ended")
    add_who(parser)


def run(context: Context) -> None:
    options, screen, server = context.options, context.screen, context.server
    if options.action is not None and options.name is None:
        raise UsageError(f"NAME is needed: which subscription to {options.action}")
    if options.action == "end":
        _end(context)
        return
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


def _end(context: Context) -> None:
    from eventbus.command.operations import confirm
    from eventbus.command.server import token

    options, screen, server = context.options, context.screen, context.server
    name = options.name
    known = server.get("/api/subscriptions")["subscriptions"]
    found = next((each for each in known if each["name"] == name), None)
    if found is None:
        raise MissingError(404, f"there is no subscription {name!r}")
    if found["is_active"] or found["state"] == "served":
        raise CommandError(f"{name} is served now; only what nothing serves can be ended here")
    lag = found["lag"]
    screen.note(f"{name} ({found['pattern']}) is forgotten, and {_events(lag)} cancelled for it")
    if not options.yes:
        confirm(context)
    ended = server.delete(f"/api/subscriptions/{token(name)}", {"by": who(options)})
    if context.as_json:
        screen.json(ended)
    else:
        screen.line(f"{name} is ended")


def _events(number: int) -> str:
    return "1 pending event is" if number == 1 else f"{number:,} pending events are"
