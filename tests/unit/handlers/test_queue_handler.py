"""Queues on a real bus: depth, waiting times, throughput, the oldest task."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from eventbus import EventBus
from handlers import Handlers
from handlers.queue.table import BUCKET_S
from tests.helpers.bus import LONG_S

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def tell(bus: EventBus, *events: tuple[str, str, float, dict[str, Any]]) -> None:
    """Publish ``(kind, task_id, seconds after noon, data)`` and wait until all is handled."""
    bus.publish_many(
        {
            "type": f"queue.task.{kind}",
            "data": {"task_id": task_id, **data},
            "time": (NOON + timedelta(seconds=at_s)).isoformat(),
        }
        for kind, task_id, at_s, data in events
    )
    assert bus.drain(LONG_S)


def test_depth_is_what_waits_and_the_oldest_is_known(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, ("added", "a", 0, {}), ("added", "b", 1, {}), ("added", "c", 2, {}))
    tell(bus, ("started", "a", 3, {}), ("processed", "b", 4, {}))
    queue = handlers.queues.get("default")
    assert queue is not None
    assert (queue.depth, queue.running, queue.added, queue.processed) == (1, 1, 3, 1)
    assert (queue.oldest_task, queue.oldest_at) == ("c", NOON + timedelta(seconds=2))
    assert queue.waiting_p50_ms == 3000
    assert handlers.counters()["queue_depth"] == 1


def test_queues_are_apart_also_when_their_tasks_have_the_same_id(
    bus: EventBus, handlers: Handlers
) -> None:
    gpu = {"queue": "gpu"}
    tell(bus, ("added", "a", 0, gpu), ("added", "a", 0, {}), ("processed", "a", 1, gpu))
    depths = {queue.name: queue.depth for queue in handlers.queues.list()}
    assert depths == {"default": 1, "gpu": 0}
    assert handlers.counters()["queue_depth"] == 1


def test_late_duplicate_and_shuffled_events_end_with_an_empty_queue(
    bus: EventBus, handlers: Handlers
) -> None:
    kinds = [("added", 0), ("started", 1), ("processed", 2)]
    events = [
        (kind, f"t{n}", at, {"queue": f"q{n % 3}"})
        for n in range(120)
        for kind, at in [*kinds, *random.Random(n).sample(kinds, 2)]
    ]
    random.Random(3).shuffle(events)
    tell(bus, *events)
    for queue in handlers.queues.list():
        assert (queue.depth, queue.running, queue.failed) == (0, 0, 0)
        assert (queue.added, queue.processed) == (40, 40)
        assert (queue.waiting_p50_ms, queue.waiting_p95_ms) == (1000, 1000)
    assert handlers.counters()["queue_depth"] == 0


def test_a_failed_task_leaves_and_may_come_back_with_a_higher_attempt(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, ("added", "a", 0, {}), ("failed", "a", 1, {}))
    tell(bus, ("added", "a", 2, {"attempt": 2}), ("added", "a", 3, {"attempt": 2}))
    queue = handlers.queues.get("default")
    assert queue is not None
    assert (queue.depth, queue.added, queue.failed) == (1, 2, 1)


def test_throughput_counts_the_last_full_minute(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, *(("processed", f"t{n}", n, {}) for n in range(120)))
    queue = handlers.queues.get("default", now=NOON + timedelta(seconds=120))
    later = handlers.queues.get("default", now=NOON + timedelta(seconds=600))
    assert queue is not None and queue.processed_per_min == 60
    assert later is not None and later.processed_per_min == 0
    assert 60 % BUCKET_S == 0
