"""`eventbus health`: whether the bus can do its work, and why not."""

from __future__ import annotations

from eventbus.command.arguments import Commands, Parser, add_command
from eventbus.command.context import Context
from eventbus.command.errors import FAILED, OK, ServerRefusedError


def add(commands: Commands, parent: Parser) -> None:
    add_command(
        commands, parent, "health", run,
        help="tell whether the bus can do its work",
        about="Ends with 0 when it can, 1 when not, 3 when no server answers: for a health check "
        "or a loop that waits for it.",
        examples="""
        eventbus health
        until eventbus health; do sleep 1; done
        eventbus health --json | jq .integrity
        """,
    )  # fmt: skip


def run(context: Context) -> int:
    screen = context.screen
    try:
        found = context.server.get("/readyz")
    except ServerRefusedError as error:
        if error.status != 503:
            raise
        if context.as_json:
            screen.json(error.problem)
        else:
            screen.line(screen.paint("not ready", "bold", "red"), ": ", str(error))
        return FAILED
    if context.as_json:
        screen.json(found)
    else:
        place = f", the newest event is #{found['sequence']:,}" if "sequence" in found else ""
        screen.line(screen.paint("ready", "bold", "green"), place)
    return OK
