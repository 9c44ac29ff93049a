"""`eventbus top`: what is going on, on one screen that is drawn in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, positive_s
from eventbus.command.context import Context
from eventbus.command.errors import UnreachableError

_EVERY_S = 2.0
_TYPES = 200
_LISTED = 50


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "top", run,
        help="watch rates, evaluations, lag, retries and alerts on one live screen",
        about="q or Ctrl-C ends it.",
        examples="""
        eventbus top
        eventbus top --every 1s
        eventbus top --once
        eventbus top --json | jq -c '.stats.counters'
        """,
    )  # fmt: skip
    parser.add_argument(
        "--every", type=positive_s, default=_EVERY_S, metavar="TIME", help="between two looks (2s)"
    )
    parser.add_argument("--once", action="store_true", help="print it once and end")


def run(context: Context) -> None:
    from eventbus.command.top_view import lines

    options, screen = context.options, context.screen
    first = look(context)  # whoever mistypes the address learns it now
    if context.as_json:
        screen.json(first)
        screen.flush()
        while not options.once:
            time.sleep(options.every)
            screen.json(look(context))
            screen.flush()
    elif options.once or not screen.is_tty:
        for line in lines(screen, first, screen.width, None):
            screen.line(line)
    else:
        from eventbus.command.terminal import FullScreen

        with FullScreen(screen) as terminal:
            _watch(context, terminal, first, lines)


def look(context: Context) -> dict[str, Any]:
    """Everything that the screen shows, as the API says it."""
    server = context.server
    types = server.get("/api/types", limit=_TYPES)["types"]
    return {
        "stats": server.get("/api/stats"),
        "types": sorted(types, key=lambda each: (-each["rate"], -each["count"])),
        "evaluations": _page(context, "/api/evaluations", "evaluations", state="active"),
        "retrying": _page(context, "/api/evaluations", "evaluations", state="retrying"),
        "alerts": _page(context, "/api/alerts", "alerts", state="open"),
        "subscriptions": server.get("/api/subscriptions")["subscriptions"],
    }


def _page(context: Context, path: str, name: str, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = context.server.get(path, limit=_LISTED, **query)[name]
    return found


def _watch(
    context: Context, terminal: Any, found: dict[str, Any], lines: Callable[..., Sequence[str]]
) -> None:
    screen, every_s = context.screen, context.options.every
    away: str | None = None
    asked_at = time.monotonic()
    while True:
        width, height = screen.size()
        terminal.draw(lines(screen, found, width, height, away))
        # A key or a change of the window's size ends the wait early.
        key = terminal.wait(max(0.05, asked_at + every_s - time.monotonic()))
        if key in ("q", "Q", "\x1b"):
            return
        if time.monotonic() < asked_at + every_s:
            continue
        asked_at = time.monotonic()
        try:
            found, away = look(context), None
        except UnreachableError as error:
            away = str(error)
