"""`eventbus alerts`: what needs somebody, and deciding about it."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, count, who
from eventbus.command.colours import state_colour
from eventbus.command.context import Context
from eventbus.command.errors import NOT_FOUND, OK, UsageError
from eventbus.command.event_line import failure
from eventbus.command.moments import ago
from eventbus.command.table import Cell, write_table

STATES = ("open", "acknowledged", "muted", "regressed", "resolved")
_UNRESOLVED = ("open", "regressed", "acknowledged", "muted")
ACTIONS = {
    "ack": "acknowledge", "acknowledge": "acknowledge", "resolve": "resolve", "mute": "mute",
    "unmute": "unmute",
}  # fmt: skip
_DONE = {"acknowledge": "acknowledged", "resolve": "resolved", "mute": "muted", "unmute": "unmuted"}
_MOST_AT_ONCE = 500


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "alerts", run, rest="ids",
        help="list alerts; acknowledge, resolve, mute or unmute some",
        about="Without --state, those that are not resolved.",
        examples="""
        eventbus alerts
        eventbus alerts --state resolved --json
        eventbus alerts ack 3f9c07d2a1b4 5e1d20aa93c1
        eventbus alerts mute 3f9c07d2a1b4 --for 24h
        """,
    )  # fmt: skip
    parser.add_argument(
        "action", nargs="?", choices=sorted(ACTIONS), metavar="ack|resolve|mute|unmute"
    )
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--severity", choices=("critical", "warning", "info"))
    parser.add_argument("--limit", "-n", type=count, default=50, metavar="COUNT", help="(50)")
    parser.add_argument(
        "--for", dest="mode", default="1h", metavar="1h|24h|worse",
        help="how long to mute: an hour, a day, or until it gets worse (1h)",
    )  # fmt: skip
    add_who(parser)


def run(context: Context) -> int:
    if context.options.action is not None:
        return _decide(context)
    found = _listed(context)
    screen = context.screen
    if context.as_json:
        for alert in found:
            screen.json(alert)
    elif found:
        head = ("alert", "severity", "state", "service", "count", "last seen", "error")
        write_table(screen, head, [_row(alert) for alert in found], right=(4,))
    else:
        screen.note("no alert was found" if context.options.state else "no alert is open")
    return OK


def _listed(context: Context) -> list[dict[str, Any]]:
    options = context.options
    found: list[dict[str, Any]] = []
    # Resolved ones may be any number; so each other state is asked for by itself.
    for state in (options.state,) if options.state else _UNRESOLVED:
        found += context.server.items(
            "/api/alerts", "alerts", options.limit, state=state, severity=options.severity
        )
    found.sort(key=lambda alert: str(alert["last_seen"]), reverse=True)
    return found[: options.limit]


def _row(alert: dict[str, Any]) -> list[Cell]:
    severity, state = str(alert["severity"]), str(alert["state"])
    return [
        str(alert["id"]),
        (severity, (state_colour(severity),)),
        (state, (state_colour(state),)),
        str(alert["service"]),
        f"{alert['occurrences']:,}",
        ago(alert["last_seen"]),
        failure({"error": alert["error"]}),
    ]


def _decide(context: Context) -> int:
    options, server, screen = context.options, context.server, context.screen
    action = ACTIONS[options.action]
    if not options.ids:
        raise UsageError(f"ID is needed: which alert to {action}")
    body: dict[str, Any] = {"ids": options.ids[:_MOST_AT_ONCE], "by": who(options)}
    if action == "mute":
        body["for"] = options.mode
    found = server.post(f"/api/alerts/{action}", body)
    if context.as_json:
        screen.json(found)
    else:
        for id in found["changed"]:
            screen.line(f"{id} {_DONE[action]}")
        for id in found["unchanged"]:
            screen.note(f"{id} stays as it is")
        for id in found["unknown"]:
            screen.note(f"there is no alert {id!r}")
    return NOT_FOUND if found["unknown"] else OK
