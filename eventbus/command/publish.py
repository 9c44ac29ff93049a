"""`eventbus publish`: one event from arguments, a file or a pipe, or a pipe full of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, positive_s
from eventbus.command.context import Context
from eventbus.command.errors import FAILED, OK, UsageError
from eventbus.command.moments import clock

SOURCE = "/command"
_WAIT_S = 10.0
_MOST_WAIT_S = 30.0


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "publish", run, rest="payload",
        help="publish an event",
        about="The payload is a JSON object, or made of key=value, whose values are JSON when they "
        "can be and text when not (key='\"7\"' is text).",
        examples="""
        eventbus publish evaluation.started eval_id=eval-42 total=1319
        eventbus publish order.placed '{"order": 7}' --subject order-7 --wait
        eventbus publish report.due @report.json --delay 1h
        jq -c .result run.json | eventbus publish evaluation.completed - eval_id=eval-42
        tail -F app.ndjson | eventbus publish --batch
        """,
    )  # fmt: skip
    parser.add_argument("type", nargs="?", metavar="TYPE", help="such as evaluation.started")
    parser.add_argument(
        "payload", nargs="*", metavar="JSON|@FILE|-|KEY=VALUE",
        help="an object, a file that holds one, - for the input, or members of one",
    )  # fmt: skip
    parser.add_argument("--source", help=f"who publishes ({SOURCE})")
    parser.add_argument("--subject", help="what it is about (eval_id or task_id of the payload)")
    parser.add_argument("--id", help="with the source, what makes it unique (a new one)")
    parser.add_argument("--time", metavar="TIME", help="when it happened (now); RFC 3339")
    parser.add_argument("--delay", type=positive_s, metavar="TIME", help="record it after 30s, 2h")
    parser.add_argument("--at", metavar="TIME", help="record it at this time; RFC 3339")
    parser.add_argument(
        "--wait", action="store_true", help="wait for the handlers and show what they did"
    )
    parser.add_argument(
        "--within", type=positive_s, default=_WAIT_S, metavar="TIME",
        help="wait no longer (10s, at most 30s)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", action="store_true",
        help="publish every line of the input, each an event {\"type\", \"data\"}",
    )  # fmt: skip


def run(context: Context) -> int:
    options = context.options
    if options.batch:
        return _batch(context)
    if options.type is None:
        raise UsageError("TYPE is needed, such as evaluation.started; or --batch")
    if options.delay is not None and options.at is not None:
        raise UsageError("--delay and --at exclude each other")
    if options.within > _MOST_WAIT_S:
        raise UsageError(f"--within is at most {_MOST_WAIT_S:g}s")
    event = _event(options)
    query: dict[str, object] = {}
    if options.wait:
        within_s = min(options.within, 0.9 * context.server.timeout_s)
        query = {"wait": "handled", "timeout": within_s}
    # The id is given here, so sending it twice is safe.
    receipt = context.server.send(
        "POST", "/api/events", json.dumps(event).encode(), "application/json", query,
        is_repeatable=True,
    )  # fmt: skip
    return _told(context, event, receipt)


def _event(options: argparse.Namespace) -> dict[str, Any]:
    from eventbus.ids import new_id

    event = {
        "type": options.type, "data": payload(options.payload), "id": options.id or new_id(),
        "source": options.source or SOURCE, "subject": options.subject, "time": options.time,
        "delay": options.delay, "at": options.at,
    }  # fmt: skip
    return {name: value for name, value in event.items() if value is not None}


def payload(parts: list[str]) -> dict[str, Any]:
    """The payload of the arguments after the type. Raises UsageError."""
    found: dict[str, Any] = {}
    for index, part in enumerate(parts):
        name, is_member, text = part.partition("=")
        if index == 0 and (part == "-" or part[:1] in ("{", "@")):
            found = _object(*_read(part))
        elif is_member and name:
            found[name] = _value(text)
        else:
            raise UsageError(
                f"{part!r} is neither key=value nor, in the first place, a JSON object, @FILE or -"
            )
    return found


def _read(part: str) -> tuple[str, str]:
    if part == "-":
        return sys.stdin.read(), "the input"
    if part.startswith("@"):
        try:
            return Path(part[1:]).read_text(encoding="utf-8-sig"), part[1:]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{part[1:]} cannot be read: {error}") from None
    return part, "the payload"


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} must be a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a JSON object, not {text.strip()[:40]!r}")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # NaN and Infinity, which are then text


def _told(context: Context, event: dict[str, Any], receipt: dict[str, Any]) -> int:
    screen = context.screen
    has_failed = context.options.wait and not (
        receipt.get("handled")
        and all(each["state"] == "succeeded" for each in receipt.get("deliveries", ()))
    )
    if receipt.get("at"):
        has_failed = False  # scheduled: nobody has it yet
    code = FAILED if has_failed else OK
    if context.as_json:
        screen.json(receipt)
        return code
    if receipt.get("at"):
        what = f"scheduled for {clock(receipt['at'], has_date=True)}"
    else:
        what = f"#{receipt['sequence']}"
    told = " (a duplicate: recorded before)" if receipt.get("duplicate") else ""
    screen.line(screen.paint(what, "bold"), "  ", event["type"], "  ", receipt["id"], told)
    if "deliveries" in receipt and not receipt.get("at"):
        from eventbus.command.deliveries import write_deliveries

        write_deliveries(screen, receipt["deliveries"], has_tracebacks=False)
        if not receipt["handled"]:
            screen.note(f"not handled within {context.options.within:g} s; it goes on")
    return code


def _batch(context: Context) -> int:
    from eventbus.command.publish_lines import publish_lines

    options = context.options
    named = [
        f"--{name}" for name in ("subject", "id", "time", "delay", "at", "wait")
        if getattr(options, name)
    ]  # fmt: skip
    if options.type is not None or options.payload or named:
        given = named[0] if named else "TYPE"
        raise UsageError(f"{given} has no place beside --batch: each line says its own")
    return publish_lines(context, sys.stdin.buffer, options.source or SOURCE)
