"""`kill -9` under load, ten times: nothing acknowledged is lost, and nothing happens twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import handlers
from eventbus import Event
from eventbus.log import EventLog
from tests.helpers.load import Producer
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

ROUNDS = 10
PRODUCERS = 4
SEED = 20_261_124
LOAD_S = (0.4, 1.2)


@pytest.mark.crash
def test_ten_kills_under_load_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path,
        "tests.helpers.trouble:app",
        EVENTBUS_BACKOFF_FIRST_S="0.05",
        EVENTBUS_BACKOFF_MAX_S="0.2",
        EVENTBUS_MAX_ATTEMPTS="100",
        EVENTBUS_LOG_LEVEL="warning",
    )
    with server:
        producers = [Producer(server, number, SEED) for number in range(PRODUCERS)]
        for producer in producers:
            producer.start()
        try:
            kill_under_load(server)
        finally:
            for producer in producers:
                producer.stop()
        wait_until(lambda: lag(server) == 0, "everything is handled", 30.0)
        counters = server.api.counters()
        assert [producer.refusals for producer in producers] == [[]] * PRODUCERS

    assert "Traceback" not in server.output()
    acknowledged = set().union(*(producer.acknowledged for producer in producers))
    assert len(acknowledged) > 100 * ROUNDS
    log = EventLog(f"sqlite:///{server.database}")
    try:
        events = list(everything(log))
        check_recorded_once(events, acknowledged)
        check_delivered(log, events)
        check_effects_once(events)
        assert counters == handlers.replay(log)
    finally:
        log.close()


def kill_under_load(server: ServerProcess) -> None:
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        threading.Event().wait(chance.uniform(*LOAD_S))  # no state to wait for: any instant
        server.kill9()
        server.start()


def lag(server: ServerProcess) -> int:
    return sum(s["lag"] for s in server.api.get("/api/subscriptions").json["subscriptions"])


def everything(log: EventLog) -> Iterator[Event]:
    position = 0
    while position < log.last_sequence:
        chunk = log.read(position)
        position = chunk.position
        yield from chunk.events


def check_recorded_once(events: list[Event], acknowledged: set[str]) -> None:
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    times = Counter((event.source, event.id) for event in events)
    assert times.most_common(1)[0][1] == 1
    assert {name for name in acknowledged if ("/producer", name) not in times} == set()


def check_delivered(log: EventLog, events: list[Event]) -> None:
    """Every durable subscription has finished every event that it matches, and no other."""
    subscribers = log.subscribers()
    assert {subscriber.name for subscriber in subscribers} >= {"evaluation", "alert", "flaky"}
    for event in events:
        expected = {s.name: "succeeded" for s in subscribers if s.pattern.matches(event.type)}
        deliveries = log.deliveries(event.sequence or 0)
        assert {d.subscription: d.state for d in deliveries} == expected, event


def check_effects_once(events: list[Event]) -> None:
    """What a handler publishes is there once for each event, however often it was tried."""
    flaky = Counter(event.id for event in events if event.type == "trouble.flaky")
    counted = Counter(event["of"] for event in events if event.type == "trouble.counted")
    assert flaky
    assert counted == flaky
    caused = Counter(
        (event.causationid, event.type) for event in events if event.causationid is not None
    )
    assert max(caused.values()) == 1
