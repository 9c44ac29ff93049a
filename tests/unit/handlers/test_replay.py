"""Replay: folding the log afresh gives what the screen shows, whatever happened live."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus import EventBus
from eventbus.replay import ReplayBus
from handlers import install, replay
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.examples import examples
from tests.helpers.read_models import SETTINGS, decide, events, tables
from tests.helpers.waiting import wait_until


def refolded(bus: EventBus) -> dict[str, set[Any]]:
    with ReplayBus(bus.log) as scratch:
        install(scratch, SETTINGS)  # type: ignore[arg-type]
        scratch.run()
        assert scratch.failures == []
        return tables(scratch)


@settings(max_examples=examples(8), deadline=None)
@given(st.lists(events, max_size=40), st.randoms(use_true_random=False))
def test_every_table_is_the_same_after_a_replay(history: list[dict[str, Any]], random: Any) -> None:
    with open_bus("sqlite://") as bus:
        handlers = install(bus, SETTINGS)
        half = len(history) // 2
        bus.publish_many(history[:half])
        decide(bus, handlers.alerts.list().items, random)
        bus.publish_many(history[half:] + random.sample(history, half))
        assert bus.drain(LONG_S)
        live = handlers.counters()
        assert replay(bus.log, SETTINGS) == live
        assert refolded(bus) == tables(bus)
        assert min(live.values()) >= 0


def test_the_same_holds_for_thousands_of_events_from_several_threads(url: str) -> None:
    with open_bus(url) as bus:
        handlers = install(bus, SETTINGS)

        def produce(seed: int) -> None:
            chance = random.Random(seed)
            for n in range(60):
                id = f"e{chance.randrange(40)}"
                retry_count = chance.choice([None, 0, 1, 2])
                kinds = ["started", "failed", "completed", "progress"]
                batch = [
                    {
                        "type": f"evaluation.{chance.choice(kinds)}",
                        "data": {"eval_id": id, "retry_count": retry_count, "result": n},
                    }
                    for _ in range(8)
                ]
                batch.append({"type": "queue.task.added", "data": {"task_id": f"{seed}-{n}"}})
                bus.publish_many(batch)

        threads = [threading.Thread(target=produce, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bus.drain(LONG_S)
        counters = handlers.counters()
        assert counters["dead_letters"] == 0 and counters["queue_depth"] == 240
        assert replay(bus.log, SETTINGS) == counters
        assert refolded(bus) == tables(bus)


def test_dead_letters_are_counted_and_change_nothing_live_and_in_the_replay(url: str) -> None:
    with open_bus(url) as bus:
        handlers = install(bus)
        bus.publish("evaluation.started", {"eval_id": ""})
        bus.publish("evaluation.started", {"eval_id": "e1"})
        wait_until(lambda: handlers.counters()["dead_letters"] == 1, "the first one is dead")
        assert bus.drain(LONG_S)
        assert replay(bus.log) == handlers.counters()


@pytest.mark.parametrize("times", [1, 2])
def test_a_replay_leaves_the_log_and_the_read_models_alone(url: str, times: int) -> None:
    with open_bus(url) as bus:
        install(bus)
        bus.publish("evaluation.failed", {"eval_id": "e1", "error": "x"})
        assert bus.drain(LONG_S)
        before, version = tables(bus), bus.log.last_sequence
        for _ in range(times):
            replay(bus.log)
        assert (tables(bus), bus.log.last_sequence) == (before, version)
