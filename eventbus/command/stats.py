"""`eventbus stats`: the counters of the page's header."""

from __future__ import annotations

from eventbus.command.arguments import Commands, Parser, add_command
from eventbus.command.context import Context
from eventbus.command.moments import moment

COUNTERS = (
    "active", "retrying", "stalled", "completed", "failed", "exhausted", "cancelled",
    "queue_depth", "open_alerts", "dead_letters",
)  # fmt: skip
URGENT = {"open_alerts": "red", "dead_letters": "red", "exhausted": "red", "retrying": "yellow",
          "stalled": "yellow"}  # fmt: skip


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "stats", run,
        help="show the counters",
        examples="""
        eventbus stats
        eventbus stats --json | jq .counters.dead_letters
        eventbus stats --at 1h
        """,
    )  # fmt: skip
    parser.add_argument("--at", type=moment, metavar="TIME", help="as they were at a time")


def run(context: Context) -> None:
    screen = context.screen
    found = context.server.get("/api/stats", at=context.options.at)
    if context.as_json:
        screen.json(found)
        return
    screen.line("newest event     ", screen.paint(f"#{found['sequence']:,}", "bold"))
    screen.line("events a second  ", screen.paint(f"{found['rate']:,.1f}", "bold"))
    for name, value in ordered(found["counters"]):
        text = "-" if value is None else f"{value:,}"
        screen.line(
            shown(name).ljust(17), screen.paint(text, "bold", URGENT.get(name, "") if value else "")
        )


def ordered(counters: dict[str, int | None]) -> list[tuple[str, int | None]]:
    """The counters in the order of the page, those that this version does not know at the end."""
    names = [name for name in COUNTERS if name in counters]
    names += [name for name in counters if name not in COUNTERS]
    return [(name, counters[name]) for name in names]


def shown(name: str) -> str:
    """A counter's name in words."""
    return name.replace("_", " ")
