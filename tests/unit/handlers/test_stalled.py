"""The stall detector: a bound learned from the task's own past, once for each sign of life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventbus import EventBus
from handlers import Handlers, HandlerSettings, install
from tests.helpers.bus import LONG_S

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus, HandlerSettings(stalled_min_s=100, stalled_factor=3, stalled_quiet_s=60))


def tell(bus: EventBus, kind: str, eval_id: str, at_s: float, **data: Any) -> None:
    bus.publish(
        f"evaluation.{kind}", {"eval_id": eval_id, **data}, time=NOON + timedelta(seconds=at_s)
    )


def check(bus: EventBus, handlers: Handlers, at_s: float) -> int:
    assert bus.drain(LONG_S)
    found = handlers.stall_detector.check(NOON + timedelta(seconds=at_s))
    assert bus.drain(LONG_S)
    return found


def test_an_evaluation_is_stalled_after_the_minimum_and_only_once(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, "started", "e1", 0)
    assert check(bus, handlers, 99) == 0
    assert check(bus, handlers, 101) == 1
    assert check(bus, handlers, 500) == 0
    counters = handlers.counters()
    assert (counters["active"], counters["stalled"]) == (0, 1)
    found = bus.log.types()
    assert "evaluation.stalled" in {seen.type for seen in found}


def test_the_bound_is_learned_from_completed_ones_of_the_same_task(
    bus: EventBus, handlers: Handlers
) -> None:
    for n in range(10):
        tell(bus, "started", f"slow{n}", 0, task="slow")
        tell(bus, "completed", f"slow{n}", 1000 + n, task="slow")
    tell(bus, "started", "s", 0, task="slow")
    tell(bus, "started", "q", 0, task="quick")
    assert check(bus, handlers, 3000) == 1
    assert handlers.stall_detector.bound_s("slow") == pytest.approx(3 * 1009)
    assert handlers.stall_detector.bound_s("quick") == 100
    stalled = handlers.evaluations.list("stalled").items
    assert [each.eval_id for each in stalled] == ["q"]
    assert check(bus, handlers, 3100) == 1


def test_one_that_makes_progress_is_not_stalled_and_one_that_stops_again_is(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, "started", "e1", 0)
    tell(bus, "progress", "e1", 150, done=1)
    assert check(bus, handlers, 200) == 0
    assert check(bus, handlers, 211) == 1
    tell(bus, "progress", "e1", 300, done=2)
    assert bus.drain(LONG_S)
    assert handlers.counters()["active"] == 1
    assert check(bus, handlers, 320) == 0
    assert check(bus, handlers, 400) == 1


def test_a_stall_that_was_published_but_not_yet_handled_is_not_published_again(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, "started", "e1", 0)
    assert bus.drain(LONG_S)
    late = NOON + timedelta(seconds=200)
    found = [handlers.stall_detector.check(late) for _ in range(3)]
    assert sum(found) == 1
    assert bus.drain(LONG_S)


def test_many_active_ones_are_looked_at_in_turns(
    bus: EventBus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.stalled._PAGE", 10)
    monkeypatch.setattr("handlers.stalled._MOST_A_CHECK", 20)
    for n in range(35):
        tell(bus, "started", f"e{n}", 0)
    assert [check(bus, handlers, 200) for _ in range(3)] == [20, 15, 0]
