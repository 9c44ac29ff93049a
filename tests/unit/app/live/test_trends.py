"""The last five minutes: the same from memory as from the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.live.past import past_tree, past_trend
from app.live.traffic import STEP_S, STEPS, Traffic
from app.live.trends import MOST_FAMILIES, OTHERS, Trends
from eventbus import EventBus
from handlers import Handlers, install
from tests.helpers.waiting import wait_until


class Clock:
    """Unix time that runs ahead of the real one by as much as the test says."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EventBus]:
    with EventBus.open(f"sqlite:///{tmp_path}/events.db") as bus:
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus)


def publish(bus: EventBus, type: str, **data: object) -> None:
    bus.publish(type, data).deliveries(5)


def new_trends(bus: EventBus, handlers: Handlers, clock: Clock) -> tuple[Traffic, Trends]:
    traffic = Traffic(bus.log, clock)
    traffic.open()
    trends = Trends(bus.log, handlers, traffic, clock)
    trends.fill()
    return traffic, trends


def test_a_server_that_just_started_shows_what_the_log_remembers(
    bus: EventBus, handlers: Handlers
) -> None:
    for number in range(4):
        publish(bus, "evaluation.started", eval_id=f"e-{number}")
    publish(bus, "evaluation.completed", eval_id="e-0", result={})
    clock = Clock()
    clock.ahead = 2 * STEP_S
    _, trends = new_trends(bus, handlers, clock)
    trend = trends.now()
    rates = {each.family: sum(each.values) * STEP_S for each in trend.families}
    assert rates == {"evaluation": 5, "metrics": 4, "cleanup": 1}
    assert trend.active[-1] == 3
    assert trend.active[0] == 0
    assert trend.p50_s[-1] is not None and trend.p50_s[0] is None


def test_what_is_counted_as_it_comes_is_not_counted_again_from_the_log(
    bus: EventBus, handlers: Handlers
) -> None:
    publish(bus, "vendor.tick")
    clock = Clock()
    traffic = Traffic(bus.log, clock)
    traffic.open()
    publish(bus, "vendor.tick")
    trends = Trends(bus.log, handlers, traffic, clock)
    trends.fill()
    clock.ahead = 2 * STEP_S
    (vendor,) = trends.now().families
    assert sum(vendor.values) * STEP_S == pytest.approx(2)


def test_every_series_has_a_value_for_each_step_and_small_families_are_one(
    bus: EventBus, handlers: Handlers
) -> None:
    clock = Clock()
    _, trends = new_trends(bus, handlers, clock)
    for number in range(MOST_FAMILIES + 3):
        publish(bus, f"family-{number}.thing")
    clock.ahead = STEP_S
    trend = trends.now()
    assert [each.family for each in trend.families][-1] == OTHERS
    assert len(trend.families) == MOST_FAMILIES + 1
    series = [each.values for each in trend.families] + [trend.active, trend.p50_s, trend.p95_s]
    assert {len(values) for values in series} == {STEPS}
    assert 1 / STEP_S <= trend.most_per_s <= (MOST_FAMILIES + 3) / STEP_S


def test_the_past_shows_what_was_shown_then(bus: EventBus, handlers: Handlers) -> None:
    for number in range(3):
        publish(bus, "evaluation.started", eval_id=f"e-{number}")
    publish(bus, "evaluation.completed", eval_id="e-0", result={})
    wait_until(lambda: bus.log.last_sequence == 8, "what follows is recorded too")
    then = bus.log.last_sequence
    at = datetime.now(UTC)
    trend = past_trend(bus.log, handlers, then, at)
    tree = past_tree(bus.log, then, at)
    # What came later is no part of it.
    publish(bus, "vendor.tick")
    rates = {each.family: round(sum(each.values) * STEP_S) for each in trend.families}
    assert rates == {"evaluation": 4, "metrics": 3, "cleanup": 1}
    assert (trend.active[-1], trend.active[0]) == (2, 0)
    assert trend.p50_s[-1] is not None
    assert {node.type: node.count for node in tree.families}["evaluation"] == 4
    assert past_tree(bus.log, then, at).count == tree.count == then
