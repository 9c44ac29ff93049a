"""Pausing: nothing is begun, nothing is lost, nothing piles up, and it holds over restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from eventbus import Event, EventBus
from eventbus import lane as lane_module
from eventbus.errors import SubscriptionError
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus, recorded
from tests.helpers.waiting import wait_until


def lag(bus: EventBus, name: str = "mine") -> int:
    return next(stats.lag for stats in bus.subscriptions() if stats.name == name)


def test_a_paused_subscription_begins_nothing_and_resumes_in_order(bus: EventBus) -> None:
    mine, other = Recorder(), Recorder()
    bus.subscribe("a.*", mine, name="mine", concurrency=1)
    bus.subscribe("a.*", other, name="other")
    assert bus.pauses.pause("mine", "ann", "a bad release")
    for n in range(50):
        bus.publish("a.b", {"n": n}, subject=f"s{n % 7}")
    other.wait_for(50)  # nobody else notices
    assert bus.drain(LONG_S), "what is paused is not waited for"
    assert mine.events == []
    assert lag(bus) == 50
    stats = next(each for each in bus.subscriptions() if each.name == "mine")
    assert (stats.state, stats.paused_by, stats.pause_reason) == ("paused", "ann", "a bad release")
    assert bus.pauses.resume("mine", "bob")
    assert [event["n"] for event in mine.wait_for(50)] == list(range(50))
    assert bus.drain(LONG_S)
    assert lag(bus) == 0


def test_what_is_running_ends_and_the_rest_waits(bus: EventBus) -> None:
    go = threading.Event()
    has_begun = threading.Semaphore(0)

    def handle(event: Event) -> None:
        has_begun.release()
        assert go.wait(LONG_S)

    bus.subscribe("a.b", handle, name="mine", concurrency=2)
    for n in range(5):
        bus.publish("a.b", {}, subject=f"s{n}")
    assert has_begun.acquire(timeout=LONG_S) and has_begun.acquire(timeout=LONG_S)
    bus.pauses.pause("mine", "ann")
    go.set()
    assert bus.drain(LONG_S)
    assert lag(bus) == 3
    assert not has_begun.acquire(timeout=0)
    bus.pauses.resume("mine", "ann")
    assert bus.drain(LONG_S)
    assert lag(bus) == 0


def test_a_retry_that_is_due_waits_until_the_subscription_is_resumed(bus: EventBus) -> None:
    handler = Failing(times=1)
    failed = threading.Event()
    bus.dispatcher.on_failure = lambda job, error: failed.set()
    bus.subscribe("a.b", handler, name="mine")
    bus.publish("a.b", {})
    assert failed.wait(LONG_S)
    bus.pauses.pause("mine", "ann")
    assert bus.drain(LONG_S)
    calls = handler.calls
    lane = bus.dispatcher.lanes()["mine"]
    wait_until(lambda: calls == 2 or len(lane.ready) == 1, "the retry is due")
    assert handler.calls == calls
    bus.pauses.resume("mine", "ann")
    wait_until(lambda: lag(bus) == 0, "it is tried again")
    assert handler.calls == 2


def test_a_pause_holds_over_a_restart_and_loses_nothing(url: str) -> None:
    mine = Recorder()
    with open_bus(url) as bus:
        bus.subscribe("a.b", mine, name="mine")
        bus.pauses.pause("mine", "ann")
        for n in range(20):
            bus.publish("a.b", {"n": n})
    with open_bus(url) as bus:
        assert bus.subscriptions()[0].state == "paused", "also before it is served"
        bus.subscribe("a.b", mine, name="mine")
        bus.publish("a.b", {"n": 20})
        assert bus.drain(LONG_S)
        assert (mine.events, lag(bus)) == ([], 21)
        bus.pauses.resume("mine", "ann")
        assert [event["n"] for event in mine.wait_for(21)] == list(range(21))


def test_a_pause_holds_after_a_kill(
    url: str, run_process: Callable[[str], CompletedProcess[str]]
) -> None:
    run_process(
        "bus.subscribe('a.b', print, name='mine')\n"
        "bus.pauses.pause('mine', 'ann')\n"
        "bus.publish('a.b', {})\ndie()"
    )
    mine = Recorder()
    with open_bus(url) as bus:
        bus.subscribe("a.b", mine, name="mine")
        assert bus.drain(LONG_S)
        assert (mine.events, lag(bus)) == ([], 1)
        bus.pauses.resume("mine", "ann")
        mine.wait_for(1)


def test_while_it_is_paused_a_flood_stays_in_the_log(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "WINDOW", 20)
    mine = Recorder()
    bus.subscribe("a.b", mine, name="mine")
    bus.pauses.pause("mine", "ann")
    for start in range(0, 1_000, 100):
        bus.publish_many(
            {"type": "a.b", "subject": f"s{n}", "data": {"n": n}} for n in range(start, start + 100)
        )
    assert bus.drain(LONG_S)
    lane = bus.dispatcher.lanes()["mine"]
    assert len(lane.ready) + lane.waiting <= 20
    assert lag(bus) == 1_000
    bus.pauses.resume("mine", "ann")
    assert sorted(event["n"] for event in mine.wait_for(1_000)) == list(range(1_000))
    assert bus.drain(LONG_S)
    assert len(mine.events) == 1_000


def test_pausing_and_resuming_under_load_delivers_everything_once_and_in_order(
    bus: EventBus,
) -> None:
    seen: dict[str, list[int]] = {f"s{n}": [] for n in range(10)}

    async def handle(event: Event) -> None:
        seen[event.subject].append(event["n"])

    bus.subscribe("a.b", handle, name="mine")

    def publish() -> None:
        for n in range(200):
            bus.publish("a.b", {"n": n}, subject=f"s{n % 10}")

    publisher = threading.Thread(target=publish)
    publisher.start()
    while publisher.is_alive():
        assert bus.pauses.pause("mine", "ann")
        assert bus.pauses.resume("mine", "ann")
    publisher.join()
    assert bus.drain(LONG_S)
    assert seen == {f"s{n}": list(range(n, 200, 10)) for n in range(10)}


def test_each_change_is_recorded_once_with_who_made_it(bus: EventBus) -> None:
    bus.subscribe("a.b", Recorder(), name="mine")
    assert bus.pauses.pause("mine", "ann", "maintenance")
    assert not bus.pauses.pause("mine", "bob")
    assert bus.pauses.resume("mine", "bob")
    assert not bus.pauses.resume("mine", "bob")
    assert recorded(bus) == ["subscription.paused", "subscription.resumed"]
    paused, resumed = bus.log.read(0).events
    assert paused.data == {"name": "mine", "by": "ann", "reason": "maintenance"}
    assert resumed.data == {"name": "mine", "by": "bob"}
    assert paused.subject == "mine"


def test_only_durable_subscriptions_can_be_paused(bus: EventBus) -> None:
    ephemeral = bus.subscribe("a.b", lambda event: None)
    for name in (ephemeral.name, "nobody"):
        with pytest.raises(SubscriptionError, match="no durable subscription is named"):
            bus.pauses.pause(name, "ann")
    assert recorded(bus) == []


def test_unsubscribing_ends_a_pause(bus: EventBus) -> None:
    mine = Recorder()
    bus.subscribe("a.b", mine, name="mine")
    bus.pauses.pause("mine", "ann")
    bus.unsubscribe("mine")
    bus.subscribe("a.b", mine, name="mine")
    bus.publish("a.b", {})
    mine.wait_for(1)
