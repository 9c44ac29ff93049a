"""Arguments that cannot be meant are refused with the argument, the rule and the value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern, RemoteEventBus
from eventbus.errors import ActorError, OperationError, PatternError
from eventbus.log import Replayed, Selection
from tests.helpers.bus import LONG_S, Recorder


def test_a_selection_takes_its_pattern_as_text(bus: EventBus) -> None:
    bus.subscribe("a.*", Recorder(), name="mine")
    bus.publish("a.b")
    assert bus.drain(LONG_S)
    assert Selection(pattern="a.*") == Selection(pattern=Pattern("a.*"))  # type: ignore[arg-type]
    operation = bus.operations.redrive(Selection(pattern="a.*"), by="me")  # type: ignore[arg-type]
    assert bus.operations.wait(operation.id, LONG_S)
    again = bus.operations.replay(Replayed("mine", pattern="a.*"), by="me")  # type: ignore[arg-type]
    assert bus.operations.wait(again.id, LONG_S)
    assert again.total == 1


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Selection, {"pattern": "a..b"}, "empty segment"),
        (Selection, {"pattern": 5}, "pattern must be a pattern, not 5"),
        (Selection, {"subscription": 5}, "subscription must be text, not 5"),
        (Selection, {"since": "today"}, "since must be a datetime with a time zone, not 'today'"),
        (Selection, {"until": datetime(2026, 1, 1)}, "until must be a datetime with a time zone"),
        (Replayed, {"subscription": None}, "subscription must be text, not None"),
        (Replayed, {"subscription": "mine", "first": "9"}, "first must be a whole number, not '9'"),
        (Replayed, {"subscription": "mine", "last": True}, "last must be a whole number, not True"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(kind: Any, given: Any, rule: str) -> None:
    with pytest.raises((OperationError, PatternError), match=rule):
        kind(**given)


def test_a_replay_that_ends_before_it_begins_is_refused(bus: EventBus) -> None:
    bus.subscribe("a", Recorder(), name="mine")
    for ask in (bus.operations.preview_replay, lambda what: bus.operations.replay(what, by="me")):
        with pytest.raises(OperationError, match="last must not be before first: 2 is before 9"):
            ask(Replayed("mine", first=9, last=2))
    assert bus.operations.list().operations == []


@pytest.mark.parametrize("by", [None, "", "  ", "a\nb", 5])
def test_whoever_changes_something_needs_a_name(bus: EventBus, by: Any) -> None:
    bus.subscribe("a", Recorder(), name="mine")
    event = bus.publish("later", delay=1000).event
    for call in (
        lambda: bus.operations.replay(Replayed("mine"), by=by),
        lambda: bus.operations.redrive(Selection(), by=by),
        lambda: bus.operations.discard(Selection(), by=by, reason="test"),
        lambda: bus.operations.retry_now([(1, "mine")], by=by),
        lambda: bus.pauses.pause("mine", by=by),
        *([] if by is None else [lambda: bus.cancel(event.id, by=by)]),
    ):
        with pytest.raises(ActorError, match="by must name who does it"):
            call()
    told = [event.type for event in bus.log.read(0, 1000, Pattern("bus.*")).events]
    assert [type for type in told if type.endswith((".started", ".cancelled"))] == []


def test_a_client_needs_an_address_and_a_pattern_a_type() -> None:
    with pytest.raises(ValueError, match="URL must be text like http://127.0.0.1:8000, not None"):
        RemoteEventBus(None)  # type: ignore[arg-type]
    for wrong in (None, b"a", 5):
        with pytest.raises(PatternError, match="event type must be text"):
            Pattern("a.*").matches(wrong)  # type: ignore[arg-type]


def test_a_lambda_that_gives_a_generator_has_not_handled_anything(bus: EventBus) -> None:
    def generator(event: Event) -> Any:
        yield event

    bus.subscribe("a", lambda event: generator(event), name="mine", max_attempts=1)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert delivery.state == "dead"
    assert "must not yield" in (delivery.error_message or "")
