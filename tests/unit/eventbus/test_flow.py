"""The roll-up of what flows: exact against the log itself, whatever happens meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess

import pytest
from sqlalchemy import text

from eventbus import Event, EventBus
from eventbus import flow as thread_module
from eventbus.flow import Flow
from eventbus.histogram import BOUNDS_US, bucket, percentile_ms
from eventbus.log import Replayed, Selection
from eventbus.log import flow as flow_module
from eventbus.log.flow import FlowCounter
from eventbus.log.flow_figures import FlowFigures, figures, pieces
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until

DAY = timedelta(days=1)


def count(bus: EventBus, counter: FlowCounter | None = None) -> FlowFigures:
    counter = counter or FlowCounter(bus.log)
    while counter.step(bus.log.last_sequence) != "done":
        pass
    now = datetime.now(UTC)
    return figures(bus.log, now - DAY, now)


def from_the_log(bus: EventBus) -> tuple[Counter[str], Counter[tuple[str, str]], Counter[object]]:
    """Events by type, successes and failed attempts by type and subscription, read directly."""
    with bus.log.reading() as conn:
        events = conn.execute(text("SELECT type, count(*) FROM events GROUP BY type")).all()
        joined = "JOIN events e USING (sequence) JOIN subscriptions s ON s.id = x.subscription"
        succeeded = conn.execute(text(
            f"SELECT e.type, s.name, count(*) FROM deliveries x {joined} "
            "WHERE x.state = 'succeeded' GROUP BY 1, 2"
        )).all()  # fmt: skip
        failed = conn.execute(text(
            f"SELECT e.type, s.name, count(*) FROM attempts x {joined} GROUP BY 1, 2"
        )).all()  # fmt: skip
    return (
        Counter({row[0]: row[1] for row in events}),
        Counter({(row[0], row[1]): row[2] for row in succeeded}),
        Counter({(row[0], row[1]): row[2] for row in failed}),
    )


def check(bus: EventBus, found: FlowFigures) -> None:
    events, succeeded, failed = from_the_log(bus)
    assert {each.type: each.count for each in found.recorded} == dict(events)
    handled = {(each.type, each.subscription): each for each in found.handled}
    assert +Counter({key: each.succeeded for key, each in handled.items()}) == succeeded
    assert +Counter({key: each.failures for key, each in handled.items()}) == failed
    with bus.log.reading() as conn:
        assert found.position == bus.log.last_sequence
        left = conn.execute(text("SELECT count(*) FROM flow_open")).scalar()
        unfinished = conn.execute(
            text("SELECT count(*) FROM deliveries WHERE state IN ('pending', 'retrying')")
        ).scalar()
    assert left == unfinished


class Flaky:
    """Fails at random; what it publishes depends on the event alone."""

    def __init__(self, bus: EventBus, seed: int, share: float) -> None:
        self._bus, self._random, self._share = bus, random.Random(seed), share

    async def __call__(self, event: Event) -> None:
        if self._random.random() < self._share:
            raise RuntimeError("not this time")
        if event["n"] % 3 == 0:
            self._bus.publish("c.caused", {"n": 1})


def test_every_count_equals_the_log_while_handlers_fail_and_people_intervene(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "_STEP", 37)
    monkeypatch.setattr(flow_module, "_OPEN_AT_ONCE", 5)
    bus.subscribe("a.*", Flaky(bus, 1, 0.4), name="flaky")
    bus.subscribe("#", lambda event: None, name="all")
    counter = FlowCounter(bus.log)
    for n in range(300):
        bus.publish(f"a.{n % 3}", {"n": n}, subject=f"s{n % 9}")
        if n % 10 == 0:
            counter.step(bus.log.last_sequence)
        if n == 100:
            bus.pauses.pause("all", "ann")
        if n == 200:
            bus.pauses.resume("all", "ann")
    wait_for_all(bus)
    check(bus, count(bus, counter))
    operation = bus.operations.redrive(Selection(), by="ann")
    while not bus.operations.wait(operation.id, 0):
        counter.step(bus.log.last_sequence)
    wait_for_all(bus)
    check(bus, count(bus, counter))
    before = {each.type: each.succeeded for each in count(bus, counter).handled
              if each.subscription == "all"}  # fmt: skip
    replay = bus.operations.replay(Replayed("all", first=1, last=50), by="ann")
    assert bus.operations.wait(replay.id, LONG_S)
    wait_for_all(bus)
    after = {each.type: each.succeeded for each in count(bus, counter).handled
             if each.subscription == "all"}  # fmt: skip
    told = ("bus.replay.started", "bus.replay.finished")
    again = sum(after.values()) - sum(before.values()) - len(told)
    assert again == 50, "what is handled once more is counted once more"


def wait_for_all(bus: EventBus) -> None:
    """Until also what is retried has come to its end."""

    def is_over() -> bool:
        assert bus.drain(LONG_S)
        counts = bus.log.delivery_counts()
        return counts["pending"] == counts["retrying"] == 0

    wait_until(is_over, "nothing is retried any more")


def test_a_counter_that_comes_later_counts_the_same(bus: EventBus) -> None:
    bus.subscribe("a.*", Flaky(bus, 2, 0.2), name="flaky")
    for n in range(60):
        bus.publish("a.b", {"n": n}, subject=f"s{n}")
    wait_for_all(bus)
    check(bus, count(bus))
    check(bus, count(bus))


def test_what_a_handler_causes_is_an_edge_from_type_by_subscription_to_type(bus: EventBus) -> None:
    bus.subscribe("a.b", Flaky(bus, 3, 0.0), name="maker")
    for n in range(9):
        bus.publish("a.b", {"n": n})
    bus.publish("d.e", {}, causationid=bus.log.read(0).events[0].id)
    assert bus.drain(LONG_S)
    found = {(each.type, each.subscription, each.caused): each.count for each in count(bus).caused}
    assert found == {("a.b", "maker", "c.caused"): 3, ("a.b", None, "d.e"): 1}


def test_counts_are_exact_after_kills_at_any_moment(
    url: str, run_process: Callable[[str], CompletedProcess[str]]
) -> None:
    script = """
import random
from eventbus.flow import Flow
import eventbus.flow as module
module._EVERY_S = module._LEAST_REST_S = 0.001
def handle(event):
    if random.random() < 0.3: raise RuntimeError("no")
bus.subscribe("a.*", handle, name="mine", concurrency=4)
flow = Flow(bus); flow.start()
for n in range(random.randint(80, 160)):
    bus.publish("a.b", {"n": n}, subject=f"s{n % 50}")
die()
"""
    for _ in range(2):
        run_process(script)
    with open_bus(url) as bus:
        bus.subscribe("a.*", lambda event: None, name="mine")
        wait_for_all(bus)
        found = count(bus)
        assert found.recorded[0].count >= 160
        check(bus, found)


def test_a_handler_that_is_far_behind_leaves_only_so_much_open(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "_MOST_OPEN", 10)
    monkeypatch.setattr(flow_module, "_STEP", 5)
    bus.subscribe("a.b", lambda event: None, name="slow")
    bus.subscribe("a.b", lambda event: None, name="quick")
    bus.pauses.pause("slow", "ann")
    for n in range(100):
        bus.publish("a.b", {"n": n})
    assert bus.drain(LONG_S)
    found = count(bus)
    assert {each.subscription: each.succeeded for each in found.handled} == {"quick": 100}
    with bus.log.reading() as conn:
        assert 0 < conn.execute(text("SELECT count(*) FROM flow_open")).scalar_one() <= 10
    bus.pauses.resume("slow", "ann")
    assert bus.drain(LONG_S)
    check(bus, count(bus))


def test_what_comes_after_a_rest_is_counted_by_itself(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "_EVERY_S", 0.01)
    bus.subscribe("a.b", lambda event: None, name="mine")
    bus.serving.add_duty(thread_module.WORK, lambda: None, lambda: None)  # as the app does
    flow = Flow(bus)
    flow.start()
    try:
        for number in (1, 2, 3):
            bus.publish("a.b", {})
            wait_until(lambda: flow.position == bus.log.last_sequence, "the event is counted")
            wait_until(lambda n=number: handled(flow) == n, "its delivery is counted")  # type: ignore[misc]
    finally:
        flow.close()


def handled(flow: Flow) -> int:
    now = datetime.now(UTC)
    return sum(each.succeeded for each in flow.figures(now - DAY, now).handled)


def test_types_without_end_are_counted_under_one_name(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "MOST_EDGES", 10)
    bus.publish_many({"type": f"made.up{n}"} for n in range(50))
    found = count(bus)
    assert len(found.recorded) == 11
    assert sum(each.count for each in found.recorded) == 50


def test_old_minutes_and_hours_go_and_days_stay(bus: EventBus) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=200)
    bus.publish("a.b", {})
    with bus.log.reading() as conn:
        assert conn.execute(text("SELECT count(*) FROM flow_counts")).scalar() == 0
    bus.log.between_commits(
        lambda conn: conn.execute(
            text("UPDATE events SET recorded_us = :us"), {"us": int(long_ago.timestamp() * 1e6)}
        )
    )
    counter = FlowCounter(bus.log)
    count(bus, counter)
    for _ in range(3):
        counter.prune(int(datetime.now(UTC).timestamp()))
    with bus.log.reading() as conn:
        left = conn.execute(text("SELECT length_s, count FROM flow_counts")).all()
    assert [tuple(row) for row in left] == [(86_400, 1)]
    found = figures(bus.log, long_ago, long_ago + timedelta(minutes=1))
    assert found.recorded[0].count == 1, "a window of then is widened to the day"
    assert found.since <= long_ago


def test_a_window_is_covered_by_as_few_stretches_as_there_are() -> None:
    now = 10 * 86_400 + 3 * 3_600 + 125
    for first, last in [
        (now - now % 60 - 300, now + 60), (8 * 86_400 + 60, 10 * 86_400 + 7_320),
        (9 * 86_400, 10 * 86_400), (9 * 86_400 + 3_600, 9 * 86_400 + 3_660),
    ]:  # fmt: skip
        found = pieces(first, last, now)
        assert len(found) <= 5
        assert found[0][1] == first
        for (_, _, end), (_, start, _) in zip(found, found[1:], strict=False):
            assert end == start
        assert found[-1][2] == last or last >= now
        assert all(start % length == end % length == 0 for length, start, end in found)


def test_percentiles_of_buckets_are_right_to_an_eighth() -> None:
    durations = sorted(random.Random(4).lognormvariate(9, 1.5) for _ in range(5_000))
    counts = Counter(bucket(int(duration)) for duration in durations)
    for percent in (50, 95, 99):
        exact = durations[int(len(durations) * percent / 100) - 1] / 1_000
        found = percentile_ms(counts, percent)
        assert found is not None and abs(found - exact) <= exact * 0.13
    assert percentile_ms({}, 50) is None
    assert percentile_ms({bucket(10**12): 1}, 50) == BOUNDS_US[-1] / 1_000


def test_rates_of_a_young_log_are_of_the_time_since_its_first_event(bus: EventBus) -> None:
    bus.publish("a.b").wait()
    found = count(bus)
    assert found.began is not None
    young = found.began + timedelta(seconds=40)
    assert found.lasted_s(young) == 40.0
    assert found.lasted_s(found.began) == 1.0
    assert found.lasted_s(found.began + 7 * DAY) == 7 * DAY.total_seconds()
    old = figures(bus.log, found.began + timedelta(minutes=5), found.began + timedelta(minutes=7))
    assert old.lasted_s(old.since + timedelta(minutes=2)) == 120.0
    bus.log.removed([1], 1)
    assert count(bus).lasted_s(young) > DAY.total_seconds() - 60
