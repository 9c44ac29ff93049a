"""`eventbus tail`: events as they are recorded, without a hole, for as long as one looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_pattern, count
from eventbus.command.context import Context
from eventbus.command.event_line import EventLines
from eventbus.command.moments import moment
from eventbus.command.safe import safe_json


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "tail", run,
        help="follow events as they are recorded",
        about="After a lost connection it goes on exactly where it was, and says what it filled.",
        examples="""
        eventbus tail
        eventbus tail 'evaluation.*' --data
        eventbus tail '*.failed' --since 1h --json | jq -r .subject
        eventbus tail --last 20 --no-follow
        """,
    )  # fmt: skip
    add_pattern(parser, "all when none")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--since", type=moment, metavar="TIME", help="begin that long ago (15m, 1h)")
    begin.add_argument("--last", "-n", type=count, metavar="COUNT", help="begin with the newest")
    parser.add_argument("--no-follow", action="store_true", help="end where the log ends")
    parser.add_argument("--count", type=count, metavar="COUNT", help="end after so many events")
    parser.add_argument("--data", action="store_true", help="show payloads")


class Printer:
    """Writes events until there have been enough."""

    def __init__(self, context: Context) -> None:
        self.left: int | None = context.options.count
        self.shown = 0
        self._screen = context.screen
        self._as_json = context.as_json
        self._lines = EventLines(context.screen, has_data=context.options.data)

    @property
    def is_done(self) -> bool:
        return self.left is not None and self.left <= 0

    def write(self, events: list[dict[str, Any]]) -> None:
        """Write them in one go; a frame of the stream may hold a thousand."""
        if self.left is not None:
            events = events[: self.left]
            self.left -= len(events)
        make = safe_json if self._as_json else self._lines.of
        if events:
            self._screen.out.write("".join([f"{make(event)}\n" for event in events]))
            self._screen.flush()
            self.shown += len(events)


def run(context: Context) -> int | None:
    options, server = context.options, context.server
    printer = Printer(context)
    if not options.no_follow:
        _need_websocket()
    # Asked first: what is recorded after this is in the history or follows it, never neither.
    position = int(server.get("/api/stats")["sequence"])
    for page in _history(context):
        printer.write(page)
        if page:
            position = max(position, int(page[-1]["sequence"]))
        if printer.is_done:
            return None
    if options.no_follow:
        return None
    from eventbus.command.following import follow

    return follow(context, printer, position)


def _history(context: Context) -> Iterator[list[dict[str, Any]]]:
    """What comes before the present, oldest first."""
    options, server = context.options, context.server
    query = {"type": options.pattern, "since": options.since}
    if options.since is not None:
        cursor = None
        while True:
            page = server.get("/api/events", **query, order="asc", limit=200, cursor=cursor)
            yield page["events"]
            cursor = page["next"]
            if cursor is None:
                return
    elif options.last is not None or options.no_follow:
        last = options.last or 10
        yield list(server.items("/api/events", "events", last, order="desc", **query))[::-1]


def _need_websocket() -> None:
    from eventbus.errors import MissingPackageError

    try:
        import eventbus.client.websocket  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"following needs the package {error.name}: pip install 'eventbus[remote]'; "
            "tail --no-follow does without"
        ) from error
