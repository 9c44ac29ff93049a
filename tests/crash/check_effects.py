"""Effects: exactly once for each success, never for a failure, in the order of the subject."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.crash.check_deliveries import RULES
from tests.crash.facts import Facts, Finding, matches

_EPHEMERAL = "ephemeral"
_EPHEMERAL_PATTERN = "load.order.#"


def check_effects(facts: Facts) -> Iterator[Finding]:
    """All findings about the ledger and the further events."""
    yield from _check_applied(facts)
    yield from _check_sums(facts)
    yield from _check_applied_order(facts)
    yield from _check_further(facts)
    yield from _check_causes(facts)
    for event in facts.events:
        if event["data"].get("failed") is True:
            yield Finding("effect-of-failure", f"{event['sequence']} {event['type']} was published")


def _check_applied(facts: Facts) -> Iterator[Finding]:
    """One row for each success of a handler of ours, none for anything else."""
    applied: Counter[tuple[str, int]] = Counter()
    for row in facts.applied:
        where = f"{row['sequence']} at {row['subscription']}"
        applied[row["subscription"], row["sequence"]] += 1
        event = facts.by_sequence.get(row["sequence"])
        if row["failed"]:
            yield Finding("effect-of-failure", f"{where} was applied by a failed attempt")
        elif event is None:
            yield Finding("effect-of-nothing", where)
        elif (row["subject"], row["amount"]) != (event["subject"], event["data"].get("amount")):
            yield Finding("effect-wrong", f"{where}: {row}")
    expected = {
        (name, row["sequence"])
        for row in facts.deliveries
        if row["state"] == "succeeded" and (name := facts.names.get(row["subscription"])) in RULES
    }
    for key in sorted(expected - applied.keys()):
        yield Finding("effect-missing", f"{key[1]} at {key[0]}")
    for key, count in sorted(applied.items()):
        name, sequence = key
        if count > 1:
            yield Finding("effect-twice", f"{sequence} at {name}: {count} times")
        type = facts.by_sequence.get(sequence, {}).get("type", "")
        is_seen = name == _EPHEMERAL and matches(_EPHEMERAL_PATTERN, type)
        if key not in expected and not is_seen:
            yield Finding("effect-of-failure", f"{sequence} at {name} had no success")


def _check_sums(facts: Facts) -> Iterator[Finding]:
    expected: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in facts.deliveries:
        name = facts.names.get(row["subscription"], "")
        if row["state"] == "succeeded" and name in RULES and row["sequence"] in facts.by_sequence:
            _add(expected, name, facts.by_sequence[row["sequence"]])
    for row in facts.applied:
        if row["subscription"] == _EPHEMERAL and row["sequence"] in facts.by_sequence:
            _add(expected, _EPHEMERAL, facts.by_sequence[row["sequence"]])
    there = {(row["subscription"], row["subject"]): [row["total"], row["count"]]
             for row in facts.sums}  # fmt: skip
    for key in sorted({*expected, *there}):
        if expected.get(key) != there.get(key):
            yield Finding("sum", f"{key}: {there.get(key)}, the log gives {expected.get(key)}")


def _add(sums: dict[tuple[str, str], list[int]], name: str, event: dict[str, Any]) -> None:
    entry = sums[name, event["subject"]]
    entry[0] += event["data"].get("amount", 0)
    entry[1] += 1


def _check_applied_order(facts: Facts) -> Iterator[Finding]:
    """Of one subject, the effects were committed in sequence order at each subscription."""
    newest: dict[tuple[str, str], int] = defaultdict(int)
    for row in facts.applied:
        key = (row["subscription"], row["subject"])
        if row["sequence"] < newest[key]:
            text = f"{row['sequence']} at {key} was applied after {newest[key]}"
            yield Finding("delivery-order", text)
        newest[key] = max(newest[key], row["sequence"])


def _check_further(facts: Facts) -> Iterator[Finding]:
    """The events that a handler of ours published: as its rule says, for each success once."""
    published: dict[tuple[str, int], list[str]] = defaultdict(list)
    for event in facts.events:
        if event["type"].startswith("derived."):
            name = event["source"].removeprefix("/handlers/")
            published[name, event["data"]["of"]].append(event["type"])
    for (name, of), types in sorted(published.items()):
        if name.startswith(f"{_EPHEMERAL}-"):
            if types != ["derived.seen"]:
                yield Finding("further-events", f"{name} for {of}: {types}")
        elif facts.state_of(name, of) != "succeeded":
            yield Finding("effect-of-failure", f"{name} published {types} for {of}")
    for row in facts.deliveries:
        name = facts.names.get(row["subscription"], "")
        rule = RULES.get(name)
        event = facts.by_sequence.get(row["sequence"])
        if row["state"] != "succeeded" or rule is None or rule.further is None or event is None:
            continue
        expected = sorted(rule.further(event["data"]))
        there = sorted(published.get((name, row["sequence"]), []))
        if there != expected:
            text = f"{name} for {row['sequence']}: {there}, not {expected}"
            yield Finding("further-events", text)


def _check_causes(facts: Facts) -> Iterator[Finding]:
    """Whatever any handler published follows from an event that it was done with, once."""
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in facts.events:
        by_id[event["id"]].append(event)
    known = set(facts.names.values())
    seen: Counter[tuple[str, str, str]] = Counter()
    for event in facts.events:
        name = event["source"].removeprefix("/handlers/")
        if name == event["source"] or event["causationid"] is None or name not in known:
            continue
        causes = [
            cause
            for cause in by_id[event["causationid"]]
            if cause["correlationid"] == event["correlationid"]
            and cause["sequence"] < event["sequence"]
            and facts.state_of(name, cause["sequence"]) == "succeeded"
        ]
        if not causes:
            yield Finding("cause", f"{event['sequence']} {event['type']} of {name} has no cause")
        if name not in RULES:  # the built-in ones publish one of a type at most
            seen[name, event["causationid"], event["type"]] += 1
    for key, count in seen.items():
        if count > 1:
            yield Finding("further-events", f"{key} was published {count} times")
