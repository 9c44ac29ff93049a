"""Which alerts are one alert, and which key both occurrences and decisions have."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import Event
from handlers.alert.facts import key, read
from handlers.alert.fingerprint import alert_id, error_type, fingerprint
from handlers.alert.lifecycle import Decision, Occurrence
from handlers.errors import MalformedEventError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "OutOfMemory", "message": "17 GiB"}, "OutOfMemory"),
        ({"message": "TimeoutError: after 30 s"}, "TimeoutError"),
        ("requests.exceptions.ConnectionError: host 7", "requests.exceptions.ConnectionError"),
        ("disk 3 is full, 99.5 %", "disk # is full, # %"),
        ("disk 4 is full, 98 %", "disk # is full, # %"),
        ("run 01890a5d-ac96-774b-bcce-b302099a8057 is gone", "run # is gone"),
        ({"type": {"odd": 1}}, "unknown"),
        ({}, "unknown"),
        ("  ", "unknown"),
        (None, "unknown"),
        (7, "unknown"),
    ],
)
def test_the_type_of_an_error(error: Any, expected: str) -> None:
    assert error_type(error) == expected


def test_service_and_error_type_are_not_mixed_up() -> None:
    assert fingerprint("a", "b.c") != fingerprint("a.b", "c")
    assert fingerprint("a", "b") == fingerprint("a", "b")


def test_occurrences_and_decisions_of_one_alert_have_one_key() -> None:
    error = {"type": "OutOfMemory"}
    occurred = Event.create("alert.critical", {"service": "evaluation", "error": error})
    warned = Event.create(
        "alert.warning", {"service": "evaluation", "error": error, "eval_id": "e"}
    )
    id = alert_id(fingerprint("evaluation", "OutOfMemory"))
    decided = Event.create("alert.acknowledged", {"alert_id": id, "by": "ana"})
    assert key(occurred) == key(warned) == key(decided) == id


def test_an_alert_that_says_almost_nothing_is_still_an_alert() -> None:
    fact = read(Event.create("alert.info"))
    assert isinstance(fact, Occurrence)
    assert (fact.service, fact.error_type, fact.severity) == ("unknown", "unknown", "info")


@pytest.mark.parametrize(
    ("data", "hours"), [({"mode": "1h"}, 1), ({"mode": "24h"}, 24), ({"mode": "worse"}, None)]
)
def test_a_mute_ends_by_its_mode(data: dict[str, Any], hours: int | None) -> None:
    event = Event.create("alert.muted", {"alert_id": "a", **data}, time="2026-01-01T00:00:00Z")
    fact = read(event)
    assert isinstance(fact, Decision)
    assert fact.until == (None if hours is None else fact.time + hours * 3_600_000_000)


def test_a_given_end_of_a_mute_counts_more_than_its_mode() -> None:
    data = {"alert_id": "a", "mode": "24h", "until": "2026-01-01T00:00:02Z"}
    fact = read(Event.create("alert.muted", data, time="2026-01-01T00:00:00Z"))
    assert isinstance(fact, Decision) and fact.until == fact.time + 2_000_000


@pytest.mark.parametrize(
    ("type", "data", "field"),
    [
        ("alert.acknowledged", {}, "alert_id"),
        ("alert.resolved", {"alert_id": ""}, "alert_id"),
        ("alert.muted", {"alert_id": "a"}, "mode"),
        ("alert.muted", {"alert_id": "a", "mode": "2h"}, "mode"),
        ("alert.muted", {"alert_id": "a", "mode": ["1h"]}, "mode"),
        ("alert.muted", {"alert_id": "a", "until": "tomorrow"}, "until"),
        ("alert.muted", {"alert_id": "a", "until": 12}, "until"),
    ],
)
def test_a_decision_that_cannot_be_understood_is_refused(
    type: str, data: dict[str, Any], field: str
) -> None:
    with pytest.raises(MalformedEventError, match=rf"data\.{field}"):
        read(Event.create(type, data))


def test_other_alert_types_are_left_alone() -> None:
    assert read(Event.create("alert.rules.changed")) is None
