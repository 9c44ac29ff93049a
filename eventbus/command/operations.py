"""`eventbus redrive`, `discard`, `replay`: counted, asked for, followed, stopped by Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from eventbus.command.arguments import (
    Commands,
    Parser,
    add_command,
    add_pattern,
    add_times,
    add_who,
    pattern,
    rate,
    sequence,
    who,
)
from eventbus.command.context import Context
from eventbus.command.errors import FAILED, INTERRUPTED, NOT_FOUND, OK, CommandError, UsageError
from eventbus.command.interrupts import held_back
from eventbus.command.progress import Progress

_POLL_S = 0.2
_DONE = {"redrive": "made pending again", "discard": "discarded", "replay": "made pending again"}

Body = dict[str, Any]


def add(commands: Commands, parent: Parser) -> None:
    redrive = add_command(
        commands, parent, "redrive", run_redrive, rest="which",
        help="deliver dead letters again, with all their attempts anew",
        about="--since and --until are when they died. It counts and asks first. Ctrl-C stops it; "
        "what it did stays done.",
        examples="""
        eventbus redrive --subscription billing --error-class ConnectionError --dry-run
        eventbus redrive 'order.*' --since 1h --reason "the network is back"
        eventbus redrive 4711@billing 4712@billing --yes
        eventbus redrive --all
        """,
    )  # fmt: skip
    discard = add_command(
        commands, parent, "discard", run_discard, rest="which",
        help="give dead letters up for good",
        about="They stay visible at their events. --since and --until are when they died.",
        examples="""
        eventbus discard 'test.*' --reason "left by the load test"
        eventbus discard 4711@billing --reason "sent by hand" --yes
        """,
    )  # fmt: skip
    for parser in (redrive, discard):
        parser.add_argument(
            "which", nargs="*", metavar="PATTERN | SEQUENCE@SUBSCRIPTION",
            help="of events of these types, or single ones",
        )  # fmt: skip
        parser.add_argument("--type", metavar="PATTERN", type=pattern, help="the same as PATTERN")
        parser.add_argument("--subscription", metavar="NAME", help="at this subscription only")
        parser.add_argument("--error-class", metavar="NAME", help="that died of this error")
        add_times(parser)
        parser.add_argument(
            "--delivery", action="append", default=[], metavar="SEQUENCE@SUBSCRIPTION",
            help="a single one; may be given many times",
        )  # fmt: skip
        parser.add_argument("--all", action="store_true", help="every dead letter there is")
    replay = add_command(
        commands, parent, "replay", run_replay,
        help="deliver recorded events again to one subscription",
        about="--since and --until are the times of events. Read models refuse it.",
        examples="""
        eventbus replay search-index 'document.*' --from 1 --rate 200 --dry-run
        eventbus replay search-index --since 2026-11-24 --yes
        """,
    )  # fmt: skip
    replay.add_argument("subscription", metavar="SUBSCRIPTION")
    add_pattern(replay, "of these types only")
    replay.add_argument("--from", dest="first", metavar="SEQUENCE", type=sequence, help="from here")
    replay.add_argument("--to", dest="last", metavar="SEQUENCE", type=sequence, help="up to here")
    add_times(replay)
    replay.add_argument("--rate", type=rate, metavar="COUNT", help="so many events a second")
    for parser in (redrive, discard, replay):
        parser.add_argument("--reason", help="why, for the log")
        parser.add_argument("--dry-run", action="store_true", help="count only, change nothing")
        parser.add_argument("--yes", "-y", action="store_true", help="do not ask before it begins")
        add_who(parser)


def run_redrive(context: Context) -> int:
    options = context.options
    return _run(context, "redrive", {**_selected(options), "reason": options.reason})


def run_discard(context: Context) -> int:
    options = context.options
    if not options.dry_run and not (options.reason or "").strip():
        raise UsageError("--reason is needed: say why nobody will miss these deliveries")
    return _run(context, "discard", {**_selected(options), "reason": options.reason})


def run_replay(context: Context) -> int:
    options = context.options
    names = ("subscription", "first", "last", "since", "until", "rate", "reason")
    body = {name: getattr(options, name) for name in names}
    return _run(context, "replay", {**body, "type": options.pattern})


def _selected(options: argparse.Namespace) -> Body:
    single = [*options.delivery, *(text for text in options.which if "@" in text)]
    patterns = [text for text in options.which if "@" not in text]
    if len(patterns) + (options.type is not None) > 1:
        raise UsageError("one PATTERN is enough: 'order.*' has all that begin so")
    try:
        type = pattern(patterns[0]) if patterns else options.type
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"PATTERN: {error}") from None
    given = {"type": type, "subscription": options.subscription,
             "error_class": options.error_class, "since": options.since,
             "until": options.until}  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if single:
        if given or options.all:
            raise UsageError("SEQUENCE@SUBSCRIPTION stands alone: it names single deliveries")
        return {"deliveries": [_delivery(text) for text in single]}
    if bool(given) == options.all:
        raise UsageError(
            "say which dead letters: by conditions, by SEQUENCE@SUBSCRIPTION, or --all"
        )
    return {"filter": given}


def _delivery(text: str) -> Body:
    place, _, name = text.partition("@")
    number = place.removeprefix("#")
    if not number.isdecimal() or not number.isascii() or not name:
        raise UsageError(f"{text!r} is not like 42@my-handler")
    return {"sequence": int(number), "subscription": name}


def _run(context: Context, kind: str, body: Body) -> int:
    options, server, screen = context.options, context.server, context.screen
    body = {name: value for name, value in body.items() if value is not None}
    body["by"] = who(options)
    path = f"/api/deliveries/{kind}"
    preview = server.post(path, {**body, "dry_run": True})
    if options.dry_run:
        if context.as_json:
            screen.json(preview)
        else:
            for line in _previewed(kind, preview):
                screen.line(line)
        return OK
    for line in _previewed(kind, preview):
        screen.note(line)
    if not preview["total"]:
        screen.note("nothing was done")
        return NOT_FOUND
    if not options.yes:
        confirm(context)
    operation, is_interrupted = _follow(context, path, body)
    if context.as_json:
        screen.json(operation)
    else:
        screen.line(_outcome(operation))
    if is_interrupted:
        return INTERRUPTED
    return OK if operation["state"] == "finished" else FAILED


def confirm(context: Context) -> None:
    """Ask whether to go on. Raises CommandError for no."""
    screen = context.screen
    screen.err.write("go on? [y/N] ")
    screen.err.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        screen.err.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done; --yes goes on without asking")


def _follow(context: Context, path: str, body: Body) -> tuple[Body, bool]:
    """The operation when it has ended, and whether Ctrl-C ended it."""
    server, operation = context.server, None
    try:
        with held_back():  # it has begun before its answer is here
            operation = server.post(path, body)
        there = f"/api/operations/{operation['id']}"
        with Progress(context.screen, f"{operation['kind']} {operation['id']}") as progress:
            while operation["state"] == "running":
                done, total = operation["done"] + operation["skipped"], operation["total"]
                progress.show(done / total if total else None, f"{done:,} of {total:,}")
                time.sleep(_POLL_S)
                operation = server.get(there)
        return operation, False
    except KeyboardInterrupt:
        if operation is None:
            raise
        context.screen.note("stopping")
        stop = f"/api/operations/{operation['id']}/stop"
        return server.post(stop, {"by": body["by"]}), True


def _previewed(kind: str, preview: Body) -> list[str]:
    what = "events" if kind == "replay" else "dead letters"
    if preview["total"] == 1:
        what = what.removesuffix("s")
    lines = [f"{kind}: {preview['total']:,} {what} selected"]
    lines += [f"  {n:>9,}  {name}" for name, n in preview["subscriptions"].items()]
    if preview["skipped"]:
        lines.append(f"  {preview['skipped']:,} of them will be skipped")
    for name, n in preview["excluded"].items():
        lines.append(f"  {n:,} more of {name!r} cannot be redriven: nobody is subscribed to it now")
    return lines


def _outcome(operation: Body) -> str:
    text = (
        f"{operation['kind']} {operation['id']} {operation['state']}: of {operation['total']:,} "
        f"selected {operation['done']:,} {_DONE[operation['kind']]}, {operation['skipped']:,} "
        "skipped"
    )
    now = operation.get("outcomes")
    if now and operation["kind"] != "discard":
        text += "; now " + ", ".join(f"{n:,} {state}" for state, n in sorted(now.items()))
    return text + (f" ({operation['error']})" if operation["error"] else "")
