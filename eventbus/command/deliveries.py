"""What became of an event at each subscription, with its attempts and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventbus.command.colours import state_colour
from eventbus.command.moments import ago, clock, milliseconds
from eventbus.command.screen import Screen

_MARKS = {"succeeded": "✓", "dead": "✗", "retrying": "↻", "running": "…"}


def write_deliveries(
    screen: Screen, deliveries: Sequence[Mapping[str, Any]], *, has_tracebacks: bool
) -> None:
    """A line for each, and one for each failed attempt."""
    if not deliveries:
        screen.line(screen.paint("  no durable subscription matched", "dim"))
    wide = max((len(str(each["subscription"])) for each in deliveries), default=0)
    for each in deliveries:
        state, attempts = str(each["state"]), each.get("attempts") or []
        mark = _MARKS.get(state, "·") if screen.has_lines else "-"
        told = _attempts(each)
        if each.get("next_attempt_at"):
            told += f", the next {ago(each['next_attempt_at'])}"
        screen.line(
            "  ", screen.paint(mark, state_colour(state)), " ",
            str(each["subscription"]).ljust(wide), "  ",
            screen.paint(state.ljust(9), state_colour(state)), "  ", screen.paint(told, "dim"),
        )  # fmt: skip
        for attempt in attempts:
            if attempt.get("outcome") != "succeeded":
                _write_attempt(screen, attempt, has_tracebacks)
        for done in each.get("interventions") or ():
            reason = f": {done['reason']}" if done.get("reason") else ""
            told = f"      {done['kind']} by {done['by']} at {clock(done['at'])}{reason}"
            screen.line(screen.paint(told, "dim"))


def _attempts(delivery: Mapping[str, Any]) -> str:
    count = delivery.get("attempt") or 0
    if not count:
        return ""
    duration = delivery.get("duration_ms")
    told = f"{count} attempts" if count > 1 else "1 attempt"
    return told if duration is None else f"{told}, {milliseconds(duration)}"


def _write_attempt(screen: Screen, attempt: Mapping[str, Any], has_traceback: bool) -> None:
    outcome = str(attempt["outcome"])
    number = f"{attempt['number']}" + (
        f" (round {attempt['round']})" if attempt.get("round", 1) > 1 else ""
    )
    error = attempt.get("error_class")
    said = f"{error}: {attempt.get('error_message') or ''}" if error else ""
    screen.line(
        "      ", screen.paint(f"{number}  {clock(attempt['started_at'])}  ", "dim"),
        screen.paint(outcome, state_colour(outcome)), "  ", said,
    )  # fmt: skip
    if has_traceback and attempt.get("traceback"):
        screen.lines(str(attempt["traceback"]).rstrip(), "          ", "dim")
