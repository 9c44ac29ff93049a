"""`eventbus import`: the events of an NDJSON file, each recorded once however often it is sent."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, count, who
from eventbus.command.context import Context
from eventbus.command.errors import (
    FAILED,
    OK,
    CommandError,
    ServerRefusedError,
    UnreachableError,
    UsageError,
)
from eventbus.command.progress import Progress

_MOST_ATTEMPTS = 6
_WAIT_S = 0.5
_MOST_WAIT_S = 10.0
_MOST_TOLD = 20
_PASSING = (429, 502, 503, 504)


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "import", run,
        help="publish every line of an NDJSON file",
        about="An export, or whatever has one event on each line. Events keep their ids; a line "
        "without one gets an id that follows from the file and the line, so that the same file "
        "may be imported again: what is recorded counts as duplicate.",
        examples="""
        eventbus import events.ndjson
        zcat events.ndjson.gz | eventbus import -
        eventbus import events.ndjson --from-line 120001
        """,
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="- is the input")
    parser.add_argument(
        "--batch", type=count, default=5_000, metavar="LINES", help="sent at once (5000)"
    )
    parser.add_argument("--from-line", type=count, default=1, metavar="LINE", help="begin there")
    add_who(parser)


class Tally:
    """What became of the lines."""

    def __init__(self) -> None:
        self.lines = self.recorded = self.duplicates = self.refused = 0
        self.first_sequence: int | None = None
        self.last_sequence: int | None = None
        self.errors: list[dict[str, Any]] = []

    def add(self, answer: dict[str, Any], begin: int) -> list[dict[str, Any]]:
        """Count a batch that began at line ``begin``; gives what was wrong, by the file's lines."""
        for name in ("lines", "recorded", "duplicates", "refused"):
            setattr(self, name, getattr(self, name) + answer[name])
        if self.first_sequence is None:
            self.first_sequence = answer["first_sequence"]
        self.last_sequence = answer["last_sequence"] or self.last_sequence
        wrong = [{**error, "line": error["line"] + begin - 1} for error in answer["errors"]]
        self.errors += wrong[: max(0, 100 - len(self.errors))]
        return wrong

    def value(self) -> dict[str, Any]:
        return dict(vars(self))


def run(context: Context) -> int:
    from eventbus.command.upload import batches, digest

    options, screen = context.options, context.screen
    tally, path = Tally(), Path(options.file)
    next_line = options.from_line
    with ExitStack() as parts:
        source, size, key = _open(options.file, parts, digest)
        progress = parts.enter_context(Progress(screen, f"import {path.name}"))
        try:
            for batch in batches(source, key, options.batch, options.from_line):
                answer = _send(context, batch.body, path.name, progress)
                for wrong in tally.add(answer, batch.first_line):
                    _tell(progress, wrong)
                next_line = batch.first_line + batch.count
                share = batch.end / size if size else None
                progress.show(share, _told(tally))
        except (CommandError, KeyboardInterrupt):
            progress.clear()
            _write(context, tally)
            screen.note(
                f"broken off before line {next_line:,}; sent again, what was recorded counts as "
                f"duplicate (or --from-line {next_line})"
            )
            raise
    _write(context, tally)
    return FAILED if tally.refused else OK


def _open(name: str, parts: ExitStack, digest: Any) -> tuple[IO[bytes], int | None, str | None]:
    if name == "-":
        return sys.stdin.buffer, None, None
    path = Path(name)
    try:
        return parts.enter_context(path.open("rb")), path.stat().st_size, digest(path)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from None


def _send(context: Context, body: bytes, name: str, progress: Progress) -> dict[str, Any]:
    """Send a batch until it is answered: what was recorded before counts as duplicate then."""
    for wait_s in _waits():
        try:
            return context.server.send(
                "POST", "/api/events/import", body, "application/x-ndjson",
                {"by": who(context.options)[:100], "name": name[:200]}, is_repeatable=True,
            )  # fmt: skip
        except ServerRefusedError as error:
            if error.status not in _PASSING or wait_s is None:
                raise
            told, wait_s = str(error), max(wait_s, error.retry_after_s or 0.0)
        except UnreachableError as error:
            if wait_s is None or not progress.is_begun:
                raise
            told = str(error)
        progress.note(f"{told}; trying again")
        time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _waits() -> Iterator[float | None]:
    for attempt in range(_MOST_ATTEMPTS - 1):
        yield min(_MOST_WAIT_S, _WAIT_S * 2**attempt)
    yield None


def _tell(progress: Progress, wrong: dict[str, Any]) -> None:
    if progress.told_count < _MOST_TOLD:
        where = f"{wrong['pointer']}: " if wrong["pointer"] else ""
        progress.note(f"line {wrong['line']}: {where}{wrong['detail']}")
    elif progress.told_count == _MOST_TOLD:
        progress.note("further lines are refused; they are counted")


def _told(tally: Tally) -> str:
    told = f"{tally.recorded:,} recorded"
    if tally.duplicates:
        told += f", {tally.duplicates:,} duplicates"
    if tally.refused:
        told += f", {tally.refused:,} refused"
    return told


def _write(context: Context, tally: Tally) -> None:
    if context.as_json:
        context.screen.json(tally.value())
    else:
        context.screen.line(f"{tally.lines:,} lines: {_told(tally)}")
