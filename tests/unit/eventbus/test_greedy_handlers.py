"""Handlers that ask for too much, or spoil what they get: refused, and nobody else's business."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from eventbus import Event, EventBus
from tests.helpers.bus import LONG_S, Recorder


def nothing(_conn: Connection, _params: list[Any]) -> None:
    """A state change that changes nothing."""


@pytest.mark.parametrize("catches", [False, True])
def test_a_delivery_that_publishes_ten_thousand_events_is_a_dead_letter_that_says_so(
    bus: EventBus, catches: bool
) -> None:
    def flood(_event: Event) -> None:
        for number in range(10_000):
            try:
                bus.publish("b", {"n": number})
            except Exception:
                if not catches:
                    raise

    calls = Recorder(flood)
    bus.subscribe("a", calls, name="mine", max_attempts=5)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert (delivery.state, delivery.error_class) == ("dead", "TooManyEffectsError")
    assert "more than 1,000 further events in one delivery" in (delivery.error_message or "")
    assert len(calls.events) == 1
    assert bus.log.last_sequence == 1


def test_a_delivery_may_publish_a_thousand_events(bus: EventBus) -> None:
    def many(_event: Event) -> None:
        bus.publish_many([{"type": "b"}] * 1_000)

    bus.subscribe("a", many, name="mine")
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert delivery.state == "succeeded"
    assert bus.log.last_sequence == 1_001


def test_bytes_and_state_changes_of_one_delivery_are_bounded_too(bus: EventBus) -> None:
    def big(_event: Event) -> None:
        for _ in range(80):
            bus.publish("b", {"text": "x" * 250_000})

    def changes(_event: Event) -> None:
        for number in range(10_001):
            bus.effect(nothing, number)

    bus.subscribe("big", big, name="big")
    bus.subscribe("changes", changes, name="changes")
    for type, what in (("big", "16,777,216 bytes"), ("changes", "10,000 state changes")):
        (delivery,) = bus.publish(type).deliveries(LONG_S)
        assert (delivery.state, delivery.attempt) == ("dead", 1)
        assert what in (delivery.error_message or "")


def test_what_a_handler_returns_or_changes_is_nobody_elses_business(bus: EventBus) -> None:
    def spoil(event: Event) -> Any:
        event.data["list"].append("spoilt")
        event.data["more"] = object()
        return object()

    bus.subscribe("a", spoil, name="a-spoiler", inline=True)
    bus.subscribe("a", seen := Recorder(), name="b-other")
    deliveries = bus.publish("a", {"list": [1]}).deliveries(LONG_S)
    assert [delivery.state for delivery in deliveries] == ["succeeded", "succeeded"]
    assert seen.values("list") == [[1]]
    assert bus.log.read(0).events[0]["list"] == [1]
