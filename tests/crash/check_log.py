"""The log against the clients' journals: nothing lost, nothing twice, nothing else, in order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.crash.facts import Facts, Finding, Message


def check_log(facts: Facts) -> Iterator[Finding]:
    """All findings about events."""
    if facts.integrity != ["ok"]:
        yield Finding("integrity", "; ".join(facts.integrity))
    for row in facts.scheduled:
        yield Finding("unscheduled", f"{row['id']} of {row['source']} was due and is not recorded")
    yield from _check_sequences(facts)
    yield from _check_recorded_once(facts)
    by_marker = {
        event["data"]["marker"]: event for event in facts.events if "marker" in event["data"]
    }
    for message in facts.messages:
        yield from _check_answers(facts, message)
        yield from _check_whole(message, by_marker)
    yield from _check_first_answers(facts)
    yield from _check_order(facts, by_marker)


def _check_sequences(facts: Facts) -> Iterator[Finding]:
    """Dense from 1: a commit that was not made gives its sequences to the next one."""
    expected = 1
    for event in facts.events:
        if event["sequence"] != expected:
            yield Finding("sequence", f"{event['sequence']} comes where {expected} should")
        expected = event["sequence"] + 1


def _check_recorded_once(facts: Facts) -> Iterator[Finding]:
    keys = Counter((event["source"], event["id"]) for event in facts.events)
    for key, count in keys.items():
        if count > 1:
            yield Finding("recorded-twice", f"{key} stands {count} times in the log")
    markers = Counter(e["data"]["marker"] for e in facts.events if "marker" in e["data"])
    for marker, count in markers.items():
        if count > 1:
            yield Finding("recorded-twice", f"what was sent as {marker} stands {count} times")
    sent = {event["data"]["marker"] for message in facts.messages for event in message.events}
    for event in facts.events:
        is_ours = event["source"].startswith("/client/")
        if is_ours and event["data"].get("marker") not in sent:
            yield Finding("never-sent", f"{event['sequence']} {event['source']} {event['data']}")


def _check_answers(facts: Facts, message: Message) -> Iterator[Finding]:
    if message.refusal is not None:
        yield Finding("refused", f"{message.name}: {message.refusal}")
    for answers in ([message.answers] if message.answers else []) + message.again:
        if len(answers) != len(message.events):
            yield Finding("answer", f"{message.name}: {len(answers)} for {len(message.events)}")
        for sent, (id, sequence, _) in zip(message.events, answers, strict=False):
            recorded = (
                facts.by_key.get((sent["source"], id))  # it was scheduled, and is due by now
                if sequence is None
                else facts.by_sequence.get(sequence)
            )
            if recorded is None or recorded["id"] != id or recorded["source"] != sent["source"]:
                yield Finding("lost", f"{message.name}: {id} was acknowledged as {sequence}")
            elif not _is_same(sent, recorded):
                yield Finding("changed", f"{message.name}: sent {sent}, recorded {recorded}")
    for answers in message.again:
        if any(not duplicate for _, _, duplicate in answers):
            yield Finding("answer", f"{message.name} was sent again and called new: {answers}")
        pairs = zip(message.answers or [], answers, strict=False)
        if any(first[1] not in (None, again[1]) for first, again in pairs):
            yield Finding("answer", f"{message.name} got {message.answers} and then {answers}")


def _is_same(sent: dict[str, Any], recorded: dict[str, Any]) -> bool:
    return (
        recorded["type"] == sent["type"]
        and recorded["data"] == sent["data"]
        and recorded["subject"] == sent.get("subject", recorded["subject"])
        and recorded["id"] == sent.get("id", recorded["id"])
    )


def _check_whole(message: Message, by_marker: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    markers = {event["data"]["marker"] for event in message.events}
    recorded = sum(marker in by_marker for marker in markers)
    if 0 < recorded < len(markers):
        yield Finding("half-batch", f"{message.name}: {recorded} of {len(markers)} were recorded")


def _check_first_answers(facts: Facts) -> Iterator[Finding]:
    """An event is new once: whoever hears it a second time was told of a duplicate."""
    new: Counter[tuple[str, str]] = Counter()
    for message in facts.messages:
        answers = zip(message.events, message.answers or [], strict=False)
        new.update((sent["source"], id) for sent, (id, _, duplicate) in answers if not duplicate)
    for key, count in new.items():
        if count > 1:
            yield Finding("answer", f"{key} was called new {count} times")


def _check_order(facts: Facts, by_marker: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """What one client sent about one subject is in the log in the order of its journal."""
    newest: dict[tuple[str, str], int] = defaultdict(int)
    seen: set[str] = set()
    for message in facts.messages:
        for sent in message.events:
            marker = sent["data"]["marker"]
            event = by_marker.get(marker)
            if event is None or marker in seen or "delay" in sent:
                continue
            seen.add(marker)
            key = (message.client, event["subject"])
            if event["sequence"] < newest[key]:
                yield Finding(
                    "publish-order", f"{marker} is {event['sequence']}, {newest[key]} before"
                )
            newest[key] = max(newest[key], event["sequence"])
