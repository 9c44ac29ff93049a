"""`eventbus evaluations`: their list, one of them, and what a person may ask of one."""

from __future__ import annotations

from typing import Any

from eventbus.command.arguments import Commands, Parser, add_command, add_who, count, exclude, who
from eventbus.command.colours import state_colour
from eventbus.command.context import Context
from eventbus.command.errors import UsageError
from eventbus.command.event_line import EventLines, failure
from eventbus.command.moments import ago, clock
from eventbus.command.table import Cell, write_table

STATES = ("active", "retrying", "completed", "failed", "exhausted", "stalled", "cancelled")


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "evaluations", run,
        help="list evaluations, or show one with its events",
        examples="""
        eventbus evaluations --state active
        eventbus evaluations --model gpt-5 --json | jq -r .eval_id
        eventbus evaluations eval-42
        eventbus evaluations eval-42 --retry
        """,
    )  # fmt: skip
    parser.add_argument("eval_id", nargs="?", metavar="EVAL_ID")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--task", help="exactly this task")
    parser.add_argument("--model", help="exactly this model")
    parser.add_argument("--text", "-q", help="in ids, tasks, models and errors")
    parser.add_argument("--limit", "-n", type=count, default=50, metavar="COUNT", help="(50)")
    parser.add_argument("--retry", action="store_true", help="ask for its next attempt now")
    parser.add_argument("--cancel", action="store_true", help="call it off")
    add_who(parser)


def run(context: Context) -> None:
    options = context.options
    exclude(options, "--retry", "--cancel")
    if options.eval_id is not None:
        _one(context)
        return
    if options.retry or options.cancel:
        raise UsageError("EVAL_ID is needed: of which evaluation")
    found = context.server.items(
        "/api/evaluations", "evaluations", options.limit,
        state=options.state, task=options.task, model=options.model, q=options.text,
    )  # fmt: skip
    if context.as_json:
        for evaluation in found:
            context.screen.json(evaluation)
        return
    rows = [_row(evaluation) for evaluation in found]
    if rows:
        head = ("evaluation", "state", "try", "task", "model", "progress", "started", "error")
        write_table(context.screen, head, rows, right=(2,))
    else:
        context.screen.note("no evaluation was found")


def _row(evaluation: dict[str, Any]) -> list[Cell]:
    state = str(evaluation["state"])
    return [
        str(evaluation["eval_id"]),
        (state, (state_colour(state),)),
        f"{evaluation['attempt']}/{evaluation['max_retries'] + 1}",
        str(evaluation["task"] or ""),
        str(evaluation["model"] or ""),
        progress_of(evaluation),
        ago(evaluation["started_at"]),
        (failure({"error": evaluation["error"]}), ("red",)),
    ]


def progress_of(evaluation: dict[str, Any]) -> str:
    """Samples done of all."""
    if not evaluation["total"]:
        return str(evaluation["done"] or "")
    return f"{evaluation['done']}/{evaluation['total']}"


def _when(time: str | None) -> str | None:
    return time and f"{clock(time)}  ({ago(time)})"


def _one(context: Context) -> None:
    from eventbus.command.server import token

    options, screen, server = context.options, context.screen, context.server
    path = f"/api/evaluations/{token(options.eval_id)}"
    action = "retry" if options.retry else "cancel" if options.cancel else None
    if action is not None:
        found = server.post(f"{path}/{action}", {"by": who(options)})
        if context.as_json:
            screen.json(found)
        else:
            said = "" if found["handled"] else "; the handler has not come to it yet"
            screen.line(f"{found['eval_id']} is ", screen.paint(
                found["state"], state_colour(found["state"])), said)  # fmt: skip
        return
    found = server.get(path)
    if context.as_json:
        screen.json(found)
        return
    screen.line(
        screen.paint(str(found["eval_id"]), "bold"), "  ",
        screen.paint(str(found["state"]), state_colour(str(found["state"]))),
    )  # fmt: skip
    facts = {
        "task": found["task"], "model": found["model"],
        "attempt": f"{found['attempt']} of {found['max_retries'] + 1}",
        "progress": progress_of(found),
        "started": _when(found["started_at"]),
        "finished": _when(found["finished_at"]),
        "retry": found["retry_at"] and ago(found["retry_at"]),
        "error": failure({"error": found["error"]}),
    }  # fmt: skip
    for name, value in facts.items():
        if value:
            screen.line("  ", screen.paint(name.ljust(10), "dim"), str(value))
    screen.line(screen.paint("events", "bold"))
    lines = EventLines(screen, has_data=False)
    for event in found["events"]:
        screen.line(lines.of(event))
    if found["next"]:
        screen.note(f"and more: search --subject {options.eval_id} --order asc")
