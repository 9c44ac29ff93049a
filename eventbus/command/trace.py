"""`eventbus trace`: the events that caused each other, as a tree with the latency of each hop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command
from eventbus.command.colours import type_styles
from eventbus.command.context import Context
from eventbus.command.event_line import failure
from eventbus.command.moments import clock, milliseconds
from eventbus.command.screen import Screen
from eventbus.tone import tone


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "trace", run,
        help="draw the chain of events that one is part of",
        about="Each hop tells how long after its cause it happened.",
        examples="""
        eventbus trace 01a20b7f-db96-7cbd-8ddc-632e8da74f8a
        eventbus trace '#4711' --json
        """,
    )  # fmt: skip
    parser.add_argument("event", metavar="ID|SEQUENCE")
    parser.add_argument("--source", help="of which producer, where several used the id")


def run(context: Context) -> None:
    from eventbus.command.finding import find_event
    from eventbus.command.server import token

    server, screen = context.server, context.screen
    event = find_event(server, context.options.event, context.options.source)
    path = f"/api/events/{token(event['id'])}/trace"
    found = server.get(path, source=event["source"])
    if context.as_json:
        screen.json(found)
        return
    for root in found["tree"]:
        screen.line(*_event(screen, root, event["id"]))
        _draw(screen, root["children"], event["id"])
    told = f"{found['count']:,} events" if found["count"] != 1 else "1 event"
    if found["truncated"]:
        told += ", and more that are not shown"
    screen.line(screen.paint(told, "dim"))


def _draw(screen: Screen, children: Sequence[dict[str, Any]], asked: str) -> None:
    """The branches below a node. Not recursive: a chain is as long as its producers made it."""
    middle, last, line = ("├─ ", "└─ ", "│  ") if screen.has_lines else ("|- ", "`- ", "|  ")
    waiting = [("", child, child is children[-1]) for child in reversed(children)]
    while waiting:
        indent, node, is_last = waiting.pop()
        hop = f"+{milliseconds(node['latency_ms'])}"
        screen.line(
            screen.paint(indent + (last if is_last else middle), "dim"),
            screen.paint(hop.rjust(9), "dim"), "  ", *_event(screen, node, asked),
        )  # fmt: skip
        below = node["children"]
        deeper = indent + ("   " if is_last else line)
        waiting += [(deeper, child, child is below[-1]) for child in reversed(below)]


def _event(screen: Screen, node: dict[str, Any], asked: str) -> list[str]:
    event = node["event"]
    type = str(event["type"])
    parts: list[str] = [
        screen.paint(type, *type_styles(type)), "  ",
        screen.paint(f"#{event.get('sequence')}", "dim"), "  ", str(event["subject"]),
    ]  # fmt: skip
    if node["latency_ms"] is None:
        parts += ["  ", screen.paint(clock(event["time"]), "dim")]
    if event["source"].startswith("/handlers/"):
        parts += ["  ", screen.paint(f"by {event['source'].removeprefix('/handlers/')}", "dim")]
    said = failure(event.get("data")) if tone(type) == "bad" else ""
    if said:
        parts += ["  ", screen.paint(said, "red")]
    if event["id"] == asked:
        parts += ["  ", screen.paint("<", "bold")]
    return parts
