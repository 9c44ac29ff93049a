"""`eventbus show`: one event, its payload, and what each subscription did with it."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command
from eventbus.command.colours import type_styles
from eventbus.command.context import Context
from eventbus.command.deliveries import write_deliveries
from eventbus.command.moments import ago, clock
from eventbus.command.safe import safe_json
from eventbus.command.screen import Painted, Screen
from eventbus.extensions import RESERVED, as_text

_ATTRIBUTES = (
    "id", "source", "subject", "correlationid", "causationid", "dataschema", "traceparent",
)  # fmt: skip


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "show", run,
        help="show one event with its payload and deliveries",
        examples="""
        eventbus show 01a20b7f-db96-7cbd-8ddc-632e8da74f8a
        eventbus show '#4711' --tracebacks
        eventbus show 4711 --json | jq .deliveries
        """,
    )  # fmt: skip
    parser.add_argument("event", metavar="ID|SEQUENCE")
    parser.add_argument("--source", help="of which producer, where several used the id")
    parser.add_argument("--tracebacks", action="store_true", help="of failed attempts, too")


def run(context: Context) -> None:
    from eventbus.command.errors import MissingError
    from eventbus.command.finding import find_event
    from eventbus.command.server import token

    options, server, screen = context.options, context.server, context.screen
    try:
        event = find_event(server, options.event, options.source)
    except MissingError as missing:
        try:
            event = server.get(f"/api/scheduled/{token(options.event)}", source=options.source)
        except MissingError:
            raise missing from None
        deliveries: list[dict[str, Any]] = []
    else:
        path = f"/api/events/{token(event['id'])}/deliveries"
        deliveries = server.get(path, source=event["source"])["deliveries"]
    if context.as_json:
        screen.json({"event": event, "deliveries": deliveries})
        return
    _write_event(screen, event)
    if "sequence" in event:
        screen.line(screen.paint("deliveries", "bold"))
        write_deliveries(screen, deliveries, has_tracebacks=options.tracebacks)


def _write_event(screen: Screen, event: dict[str, Any]) -> None:
    type = str(event["type"])
    place = f"#{event['sequence']}" if "sequence" in event else "scheduled"
    screen.line(screen.paint(type, *type_styles(type)), "  ", screen.paint(place, "dim"))
    when = f"{clock(event['time'], has_date=True)}  ({ago(event['time'])})"
    _write(screen, "time", when)
    if "at" in event:
        _write(screen, "at", f"{clock(event['at'], has_date=True)}  ({ago(event['at'])})")
    for name in _ATTRIBUTES:
        if event.get(name) is not None:
            _write(screen, name, str(event[name]))
    for name in sorted(event.keys() - RESERVED):
        _write(screen, name, as_text(event[name]))
    screen.line(screen.paint("data", "bold"))
    if event.get("dataremoved"):
        screen.line("  (removed by retention)")
        return
    for line in safe_json(event.get("data"), indent=2).split("\n"):
        screen.line("  ", Painted(line))


def _write(screen: Screen, name: str, value: str) -> None:
    screen.line("  ", screen.paint(name.ljust(14), "dim"), value)
