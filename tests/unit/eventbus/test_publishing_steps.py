"""Operations that publish, of a kind that the bus knows nothing about until it is told."""

from __future__ import annotations

import pytest

from eventbus import EventBus, Pattern
from eventbus.errors import OperationError
from eventbus.log import Operation, Selection
from eventbus.publishing_steps import Part
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until

ALL = Selection()


def next_part(operation: Operation, position: int, limit: int) -> Part | None:
    if position == 3:
        return None
    return Part([{"type": "a", "data": {"n": position + 1}}], position + 1)


def published(bus: EventBus) -> list[int]:
    return [event.data["n"] for event in bus.log.read(0, 100, Pattern("a")).events]


def stop(bus: EventBus, operation: Operation) -> Operation:
    bus.operations.stop(operation.id, "ann")
    assert bus.operations.wait(operation.id, LONG_S)
    stopped = bus.operations.get(operation.id)
    assert stopped is not None
    return stopped


def test_one_of_a_kind_that_nobody_has_defined_waits_until_somebody_does(url: str) -> None:
    with open_bus(url) as bus:
        with pytest.raises(OperationError, match="nobody has defined"):
            bus.operations.begin("retry", ALL, "ann", None, 3)
        bus.operations.define({"retry": next_part})
        operation = bus.operations.begin("retry", ALL, "ann", None, 3, rate=0.0001)
        wait_until(lambda: published(bus) == [1], "the first is published", LONG_S)
    with open_bus(url) as bus:
        left = bus.operations.get(operation.id)
        assert left is not None and (left.state, left.done) == ("running", 1)
        bus.operations.define({"retry": next_part})
        wait_until(lambda: published(bus) == [1, 2], "it goes on", LONG_S)
        stopped = stop(bus, operation)
        assert (stopped.state, stopped.done, stopped.outcomes) == ("stopped", 2, None)
        assert published(bus) == [1, 2]


def test_the_slowest_rate_there_is_holds_up_no_other(url: str) -> None:
    with open_bus(url) as bus:
        bus.operations.define({"retry": next_part, "dismissal": next_part})
        slow = bus.operations.begin("retry", ALL, "ann", None, 3, rate=5e-324)
        wait_until(lambda: published(bus) == [1], "it has begun", LONG_S)
        other = bus.operations.begin("dismissal", ALL, "ann", None, 3)
        assert bus.operations.wait(other.id, LONG_S)
        stopped = stop(bus, slow)
        assert (stopped.state, stopped.done) == ("stopped", 1)


def test_what_the_log_refuses_ends_it_and_says_why(url: str) -> None:
    with open_bus(url) as bus:
        bus.operations.define({"dismissal": lambda *_: Part([{"type": "no type!"}], 1)})
        operation = bus.operations.begin("dismissal", ALL, "ann", None, 1)
        assert bus.operations.wait(operation.id, LONG_S)
        failed = bus.operations.get(operation.id)
        assert failed is not None and (failed.state, failed.done) == ("failed", 0)
        assert "EventValidationError" in (failed.error or "")
