"""Deliveries and attempts: every match once, finished, with its attempts counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.crash.facts import Facts, Finding, matches

_FINISHED = ("succeeded", "dead")


@dataclass(frozen=True, slots=True)
class Rule:
    """What the harness knows of a subscription, said here once more than in its handler.

    ``further`` gives the types of the events that a success publishes, None when nothing may
    succeed; ``errors`` are the errors that its attempts may have had.
    """

    pattern: str
    max_attempts: int
    further: Callable[[dict[str, Any]], list[str]] | None
    errors: tuple[str, ...] = ()


def _nothing(_: dict[str, Any]) -> list[str]:
    return []


def _of_relay(data: dict[str, Any]) -> list[str]:
    return ["derived.leg", "derived.leg"] + ["derived.note", "derived.later"] * data["note"]


RULES = {
    "sum": Rule("load.#", 30, _nothing),
    "relay": Rule("load.order.*", 30, _of_relay),
    "chain": Rule("derived.leg", 30, lambda data: ["derived.end"] if data["leg"] == 0 else []),
    "flaky": Rule("load.+.flaky", 30, lambda _: ["derived.retried"], ("HandlerFailure",)),
    "slow": Rule("load.task.slow", 30, _nothing),
    "hang": Rule("load.task.hang", 30, lambda _: ["derived.woken"], ("HandlerTimeoutError",)),
    "doomed": Rule("load.task.doomed", 3, None, ("HandlerFailure",)),
    "lethal": Rule("load.task.lethal", 2, None),
}
BUILT_IN_ATTEMPTS = 30


def check_deliveries(facts: Facts) -> Iterator[Finding]:
    """All findings about deliveries and attempts."""
    yield from _check_subscriptions(facts)
    yield from _check_one_each(facts)
    for delivery in facts.deliveries:
        yield from _check_delivery(facts, delivery)
    yield from _check_crashed(facts)


def _check_subscriptions(facts: Facts) -> Iterator[Finding]:
    stored = {row["name"]: row["pattern"] for row in facts.subscriptions}
    for name, rule in RULES.items():
        if stored.get(name) != rule.pattern:
            yield Finding("subscription", f"{name} has {stored.get(name)}, not {rule.pattern}")


def _check_one_each(facts: Facts) -> Iterator[Finding]:
    """One row for each event and subscription that match, and no other."""
    expected = {
        (event["sequence"], row["id"])
        for row in facts.subscriptions
        for event in facts.events
        if event["sequence"] > row["since_sequence"] and matches(row["pattern"], event["type"])
    }
    there = {(row["sequence"], row["subscription"]) for row in facts.deliveries}
    for sequence, subscription in sorted(expected - there):
        yield Finding("delivery-missing", f"{sequence} at {facts.names[subscription]}")
    for sequence, subscription in sorted(there - expected):
        yield Finding("delivery-extra", f"{sequence} at {facts.names.get(subscription)}")


def _check_delivery(facts: Facts, delivery: dict[str, Any]) -> Iterator[Finding]:
    name = facts.names.get(delivery["subscription"], "?")
    rule = RULES.get(name)
    state, attempt = delivery["state"], delivery["attempt"]
    where = f"{delivery['sequence']} at {name}"
    if state not in _FINISHED:
        yield Finding("unfinished", f"{where} is {state}")
        return
    tried = facts.attempts_of[delivery["sequence"], delivery["subscription"]]
    failed = attempt - (state == "succeeded")
    if [row["number"] for row in tried] != list(range(1, failed + 1)):
        numbers = [row["number"] for row in tried]
        yield Finding("attempts", f"{where} {state} with {attempt}, but failed ones {numbers}")
    most = _most_attempts(name)
    if attempt > most:
        yield Finding("attempts", f"{where} had {attempt} of {most}")
    if state == "dead" and attempt < most:
        yield Finding("attempts", f"{where} is dead after {attempt} of {most}")
    if state == "succeeded" and rule and rule.further is None:
        yield Finding("impossible-success", where)
    allowed = rule.errors if rule else ()
    for row in tried:
        if row["outcome"] != "crashed" and row["error_class"] not in allowed:
            text = f"{where}: {row['outcome']} {row['error_class']}: {row['error_message']}"
            yield Finding("unexpected-failure", text)


def _check_crashed(facts: Facts) -> Iterator[Finding]:
    """Attempts that a kill cut off are counted, each once.

    At least those whose handler had begun and not ended; at most one for each killed process that
    told the recorder of it, since the kill may have come just before the handler or after it.
    Where processes share a log, one of many that were told of together may be finished before it
    is known. But one that kills all by itself kills no more of them than it has attempts.
    """
    ids = {name: id for id, name in facts.names.items()}
    cuts = Counter((ids.get(name, 0), sequence) for _, name, sequence in facts.runs.cut())
    most = Counter(
        (int(id), sequence)
        for process, id, sequence in facts.runs.noted
        if process not in facts.runs.clean
    )
    crashed = Counter(
        (row["subscription"], row["sequence"])
        for row in facts.attempts
        if row["outcome"] == "crashed"
    )
    for key in sorted({*cuts, *crashed}):
        id, sequence = key
        name = facts.names.get(id, "?")
        tried = len(facts.attempts_of[sequence, id])
        where = f"{sequence} at {name}: {crashed[key]} crashed attempts, {cuts[key]} were cut off"
        is_uncounted = crashed[key] < cuts[key] and tried < _most_attempts(name)
        if is_uncounted and not facts.is_shared:
            yield Finding("crash-uncounted", where)
        elif crashed[key] > most[key]:
            yield Finding("crash-overcounted", f"{where}, {most[key]} could be")
        if name == "lethal" and cuts[key] > _most_attempts(name):
            yield Finding("killed-again", where)


def _most_attempts(name: str) -> int:
    return RULES[name].max_attempts if name in RULES else BUILT_IN_ATTEMPTS
