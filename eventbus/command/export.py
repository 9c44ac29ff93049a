"""`eventbus export`: the whole filtered history as a file, or none that looks like it."""

from __future__ import annotations

import json
import os
from argparse import ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_filter, pattern, query
from eventbus.command.context import Context
from eventbus.command.errors import CommandError, UsageError
from eventbus.command.progress import Progress
from eventbus.command.safe import safe_line

_FORMATS = ("ndjson", "csv")
_ENDINGS = (".ndjson", ".jsonl", ".json", ".csv")


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "export", run,
        help="write the whole filtered history to a file or the output",
        about="Oldest first, up to what is recorded when it begins. A connection that breaks is "
        "made again at the same place. FILE has its name only when it is whole; until then it is "
        "FILE.part, which --resume goes on with.",
        examples="""
        eventbus export 'evaluation.*' --since 7d -o evaluations.ndjson
        eventbus export -o events.csv --format csv
        eventbus export -o events.ndjson --resume
        eventbus export --subject eval-42 | jq -r .type | sort | uniq -c
        """,
    )  # fmt: skip
    add_filter(parser, read=_type_and_no_file)
    parser.add_argument("--output", "-o", metavar="FILE", help="where to (the output)")
    parser.add_argument("--format", choices=_FORMATS, help="ndjson, or csv; by FILE's ending")
    parser.add_argument(
        "--resume", action="store_true", help="go on with FILE.part, its filter too"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE when it is there")


def _type_and_no_file(text: str) -> str:
    """A pattern; who wants a file is told how to name it. Raises ArgumentTypeError."""
    if "/" in text or text.endswith(_ENDINGS):
        raise ArgumentTypeError(
            f"{text} looks like a file: -o {text} writes to one, and --type has a pattern that "
            "looks so"
        )
    return pattern(text)


def run(context: Context) -> None:
    options = context.options
    if options.output is None:
        if options.resume:
            raise UsageError("--resume goes on with a file: name it with -o")
        _to_output(context)
    else:
        _to_file(context, Path(options.output))


def _to_output(context: Context) -> None:
    from eventbus.command.download import Download

    screen = context.screen
    download = Download(context.server, _wanted(context, None))
    if screen.is_tty:
        for block in download.blocks():
            for line in block[:-1].split(b"\n"):
                screen.out.write(safe_line(line.decode(errors="replace").rstrip("\r")) + "\n")
        screen.flush()
        return
    screen.flush()
    out = screen.out.buffer
    with Progress(screen, "export") as progress:
        for block in download.blocks():
            out.write(block)
            progress.show(*download.progress())
        out.flush()


def _to_file(context: Context, path: Path) -> None:
    from eventbus.command.download import Download

    options, screen = context.options, context.screen
    part = path.with_name(path.name + ".part")
    note = path.with_name(path.name + ".part.json")
    if path.exists() and not options.force:
        raise UsageError(f"{path} is there already; --force replaces it")
    if options.resume:
        download = Download(context.server, _noted(context, note))
        kept = download.skip(part)
        screen.note(f"going on with {part}: {kept:,} events are there")
    else:
        if not path.parent.is_dir():
            raise UsageError(f"there is no directory {path.parent}")
        download = Download(context.server, _wanted(context, path))
        part.unlink(missing_ok=True)
        note.write_text(json.dumps({"url": context.server.url, "query": download.query}))
    try:
        with part.open("ab") as file, Progress(screen, f"export to {path.name}") as progress:
            for block in download.blocks():
                file.write(block)
                progress.show(*download.progress())
            file.flush()
            os.fsync(file.fileno())
    except (CommandError, KeyboardInterrupt):
        screen.note(f"{part} has {download.count:,} events, not all: --resume goes on with it")
        raise
    part.replace(path)
    note.unlink(missing_ok=True)
    if context.as_json:
        screen.json({"file": str(path), "events": download.count})
    else:
        screen.note(f"{path}: {download.count:,} events")


def _wanted(context: Context, path: Path | None) -> dict[str, Any]:
    """The export's parameters: the filter, its format, and where it ends."""
    ending = path.suffix.lstrip(".") if path is not None else ""
    format = context.options.format or ("csv" if ending == "csv" else "ndjson")
    wanted = {**query(context.options), "format": format}
    # Also where it would end without being said; it is then the same after a broken connection.
    end = int(context.server.get("/api/stats")["sequence"]) + 1
    before = wanted.get("before")
    wanted["before"] = end if before is None else min(int(str(before)), end)
    return wanted


def _noted(context: Context, note: Path) -> dict[str, Any]:
    given = [f"--{name}" for name in query(context.options)] + (
        ["--format"] if context.options.format else []
    )
    if given:
        raise UsageError(f"--resume has the filter of the export that broke off; leave {given[0]}")
    try:
        noted: Mapping[str, Any] = json.loads(note.read_text())
        return dict(noted["query"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"there is no export to resume: {note} cannot be read") from None
