"""`eventbus search`: the history by pattern, words, subject, chain and time."""

from __future__ import annotations

from eventbus.command.arguments import Commands, Parser, add_command, add_filter, count, query
from eventbus.command.context import Context
from eventbus.command.event_line import EventLines

_LIMIT = 50


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "search", run,
        help="look events up in the history",
        about="Newest first. Ends with 0 also when nothing was found.",
        examples="""
        eventbus search 'evaluation.*' --since 1h
        eventbus search --text '"out of memory"' --data
        eventbus search --subject eval-42 --order asc --limit 1000 --json | jq .data
        """,
    )  # fmt: skip
    add_filter(parser)
    parser.add_argument(
        "--limit", "-n", type=count, default=_LIMIT, metavar="COUNT", help="at most so many (50)"
    )
    parser.add_argument("--order", choices=("desc", "asc"), default="desc", help="newest first")
    parser.add_argument("--data", action="store_true", help="show payloads")


def run(context: Context) -> None:
    options, screen = context.options, context.screen
    found = context.server.items(
        "/api/events", "events", options.limit, order=options.order, **query(options)
    )
    lines = EventLines(screen, has_data=options.data)
    shown = 0
    for event in found:
        shown += 1
        if context.as_json:
            screen.json(event)
        else:
            screen.line(lines.of(event))
    if not context.as_json:
        if not shown:
            screen.note("no event was found")
        elif shown == options.limit:
            screen.note(
                screen.paint_note(f"{shown} shown; there may be more: --limit COUNT", "dim")
            )
