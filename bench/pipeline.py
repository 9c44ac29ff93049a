"""Publish, record, handle, record the delivery; beside emitters and beside peers that keep."""

from __future__ import annotations

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path

from bench import emitters, keepers
from bench.options import Options
from bench.report import Figure, Sample, interleaved
from eventbus import Event, EventBus


async def publish_all(bus: EventBus, publishers: int, count: int) -> None:
    """``count`` events from ``publishers`` tasks, each waiting for its event to be durable."""

    async def one(number: int) -> None:
        for i in range(count // publishers):
            await bus.publish("evaluation.progress", {"eval_id": f"eval-{number}-{i}", "done": i})

    await asyncio.gather(*(one(n) for n in range(publishers)))


def ours_per_s(publishers: int, count: int, handlers: int = 1, others: int = 0) -> float:
    """Events per second until every delivery is recorded, on ``synchronous=FULL``.

    ``others`` is how many more durable subscriptions there are, with patterns that do not match.
    """
    folder = tempfile.TemporaryDirectory()
    with folder as path, EventBus.open(f"sqlite:///{Path(path, 'events.db')}") as bus:
        return handled_per_s(bus, publishers, count, handlers, others)


def handled_per_s(
    bus: EventBus, publishers: int, count: int, handlers: int = 1, others: int = 0
) -> float:
    """As ``ours_per_s``, on a bus that nobody has used."""
    handled = [0]

    async def handle(event: Event) -> None:
        handled[0] += 1

    for number in range(handlers):
        bus.subscribe("evaluation.*", handle, name=f"handler-{number}")
    for number in range(others):
        bus.subscribe(f"other-{number}.*", handle, name=f"other-{number}")
    started = time.perf_counter()
    asyncio.run(publish_all(bus, publishers, count))
    if not bus.drain(60):
        raise RuntimeError("the bus did not drain within 60 s")
    elapsed = time.perf_counter() - started
    published = count // publishers * publishers
    if handled[0] != published * handlers:
        raise RuntimeError(f"{handled[0]} deliveries instead of {published * handlers}")
    return published / elapsed


def thread_per_s(count: int = 2_000) -> float:
    """Events per second from one plain thread, each waiting for the disk; nobody handles them."""
    folder = tempfile.TemporaryDirectory()
    with folder as path, EventBus.open(f"sqlite:///{Path(path, 'events.db')}") as bus:
        started = time.perf_counter()
        for number in range(count):
            bus.publish("evaluation.progress", {"eval_id": f"eval-{number}", "done": number})
        return count / (time.perf_counter() - started)


def figures(options: Options) -> list[Figure]:
    """The budgets: 20,000/s with 64 publishers, 1,500/s with one, 40 times bubus."""
    found = interleaved(
        {
            "many": partial(ours_per_s, 64, 20_000),
            "bubus": emitters.bubus_per_s,
            "three": partial(ours_per_s, 64, 12_000, 3),
            "thousand": partial(ours_per_s, 64, 12_000, 1, 999),
            "pymitter thousand": partial(emitters.pymitter_per_s, 1_000),
            "one": partial(ours_per_s, 1, 2_000),
            "huey": partial(keepers.huey_per_s, True),
            "persist-queue": partial(keepers.persist_queue_per_s, True),
            "thread": thread_per_s,
            "huey accepts": partial(keepers.huey_per_s, False),
            "persist-queue accepts": partial(keepers.persist_queue_per_s, False),
            "eventsourcing accepts": keepers.eventsourcing_per_s,
            "file": keepers.file_per_s,
            "blinker": emitters.blinker_per_s,
            "pyee": emitters.pyee_per_s,
            "pyee async": emitters.pyee_async_per_s,
            "pymitter": emitters.pymitter_per_s,
        },
        options.rounds,
    )
    many, one, peer = found["many"], found["one"], found["bubus"]
    return [
        Figure("pipeline, 64 publishers, 1 handler", many.shown("/s"), _beside("bubus", peer),
               _times(many, peer), "≥ 20,000/s, ≥ 40 ×",
               many.median >= 20_000 and many.median >= 40 * peer.median),
        Figure("pipeline, 1 publisher, 1 handler", one.shown("/s"),
               _beside("huey with fsync", found["huey"]), _times(one, found["huey"]),
               "≥ 1,500/s", one.median >= 1_500),
        _row("the same", one, "persist-queue", found["persist-queue"]),
        _row("pipeline, 64 publishers, 3 handlers", found["three"], "bubus (1 handler)", peer),
        _row("pipeline, 64 publishers, 1,000 wildcard subscriptions of which 1 matches",
             found["thousand"], "pymitter, 1,000 wildcards", found["pymitter thousand"]),
        _row("accept one at a time from a thread", found["thread"], "a file, append and fsync",
             found["file"]),
        _row("the same", found["thread"], "huey with fsync", found["huey accepts"]),
        _row("the same", found["thread"], "persist-queue", found["persist-queue accepts"]),
        _row("the same", found["thread"], "eventsourcing", found["eventsourcing accepts"]),
        _row("pipeline, 64 publishers, 1 handler, beside emitters that keep nothing", many,
             "blinker", found["blinker"]),
        _row("the same", many, "pyee", found["pyee"]),
        _row("the same", many, "pyee, async listener", found["pyee async"]),
        _row("the same", many, "pymitter", found["pymitter"]),
    ]  # fmt: skip


def _row(what: str, ours: Sample, name: str, peer: Sample) -> Figure:
    return Figure(what, ours.shown("/s"), _beside(name, peer), _times(ours, peer))


def _beside(name: str, peer: Sample) -> str:
    return f"{name}: {peer.shown('/s')}"


def _times(ours: Sample, peer: Sample) -> str:
    ratio = ours.median / peer.median
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"
