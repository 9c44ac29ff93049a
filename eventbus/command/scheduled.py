"""`eventbus scheduled` and `eventbus cancel`: what is recorded later, and taking it back."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, count, who
from eventbus.command.context import Context
from eventbus.command.errors import NOT_FOUND, OK, MissingError, UsageError
from eventbus.command.moments import ago, clock
from eventbus.command.table import Cell, write_table

HEAD = ("due", "in", "id", "type", "subject")


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "scheduled", run,
        help="list what is scheduled, the next one due first",
        examples="""
        eventbus scheduled
        eventbus scheduled --limit 1000 --json | jq -r 'select(.type == "report.due") | .id'
        """,
    )  # fmt: skip
    parser.add_argument("--limit", "-n", type=count, default=50, metavar="COUNT", help="(50)")
    parser = add_command(
        commands, parent, "cancel", run_cancel,
        help="take back scheduled events",
        about="An event that is recorded already cannot be taken back: it is not found then.",
        examples="""
        eventbus cancel weekly-report
        eventbus cancel expiry-7 --source /shop --by ann
        """,
    )  # fmt: skip
    parser.add_argument("ids", nargs="+", metavar="ID")
    parser.add_argument("--source", help="of this source only; every source's when not given")
    add_who(parser)


def run(context: Context) -> None:
    screen, limit = context.screen, context.options.limit
    found = list(context.server.items("/api/scheduled", "scheduled", limit))
    if context.as_json:
        for event in found:
            screen.json(event)
    elif found:
        write_table(screen, HEAD, [_row(event) for event in found])
        if len(found) == limit:
            screen.note(f"the first {limit:,}; --limit shows more")
    else:
        screen.note("nothing is scheduled")


def _row(event: dict[str, Any]) -> list[Cell]:
    return [
        clock(event["at"], has_date=True),
        (ago(event["at"]).removeprefix("in "), ("yellow",)),
        (str(event["id"]), ("bold",)),
        str(event["type"]),
        str(event["subject"]),
    ]


def run_cancel(context: Context) -> int:
    from eventbus.command.server import token

    options, screen, code = context.options, context.screen, OK
    if not all(options.ids):
        raise UsageError("ID must not be empty")
    by = who(options)
    for id in options.ids:
        path = f"/api/scheduled/{token(id)}"
        try:
            found = context.server.delete(path, {"by": by}, source=options.source)
        except MissingError as error:
            screen.note(str(error))
            code = NOT_FOUND
            continue
        if context.as_json:
            screen.json(found)
        else:
            screen.line(f"{id} is cancelled")
    return code
