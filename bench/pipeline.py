"""Publish, record, handle, record the delivery: against bubus, which keeps nothing."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from pathlib import Path

from bench.report import Figure, median_of
from eventbus import Event, EventBus


async def publish_all(bus: EventBus, publishers: int, count: int) -> None:
    """``count`` events from ``publishers`` tasks, each waiting for its event to be durable."""

    async def one(number: int) -> None:
        for i in range(count // publishers):
            await bus.publish("evaluation.progress", {"eval_id": f"eval-{number}-{i}", "done": i})

    await asyncio.gather(*(one(n) for n in range(publishers)))


def ours_per_s(publishers: int, count: int, handlers: int = 1) -> float:
    """Events per second until every delivery is recorded, on ``synchronous=FULL``."""
    folder = tempfile.TemporaryDirectory()
    with folder as path, EventBus.open(f"sqlite:///{Path(path, 'events.db')}") as bus:
        handled = [0]

        async def handle(event: Event) -> None:
            handled[0] += 1

        for number in range(handlers):
            bus.subscribe("evaluation.*", handle, name=f"handler-{number}")
        started = time.perf_counter()
        asyncio.run(publish_all(bus, publishers, count))
        if not bus.drain(60):
            raise RuntimeError("the bus did not drain within 60 s")
        elapsed = time.perf_counter() - started
        expected = count // publishers * publishers * handlers
        if handled[0] != expected:
            raise RuntimeError(f"{handled[0]} deliveries instead of {expected}")
    return count / elapsed


def bubus_per_s(count: int) -> float:
    """Events per second through bubus with one async handler, 64 published at a time."""
    from bubus import BaseEvent
    from bubus import EventBus as Bubus

    logging.getLogger("bubus").setLevel(logging.ERROR)

    class Progress(BaseEvent[None]):
        done: int

    async def run() -> float:
        bus = Bubus()
        handled = [0]

        async def handle(event: Progress) -> None:
            handled[0] += 1

        bus.on(Progress, handle)
        started = time.perf_counter()
        for start in range(0, count, 32):
            await asyncio.gather(*(bus.dispatch(Progress(done=start + i)) for i in range(32)))
        elapsed = time.perf_counter() - started
        await bus.stop()
        if handled[0] < count:
            raise RuntimeError(f"bubus handled {handled[0]} of {count}")
        return count / elapsed

    return asyncio.run(run())


def figures(rounds: int) -> list[Figure]:
    """The budgets: 20,000/s with 64 publishers, 1,500/s with one, 40 times bubus."""
    peer = median_of(lambda: bubus_per_s(640), rounds)
    many = median_of(lambda: ours_per_s(64, 20_000), rounds)
    three = median_of(lambda: ours_per_s(64, 12_000, 3), rounds)
    single = median_of(lambda: ours_per_s(1, 2_000), rounds)
    beside = f"bubus: {peer:,.0f}/s"
    return [
        Figure("pipeline, 64 publishers, 1 handler", f"{many:,.0f}/s", beside,
               f"{many / peer:.0f} ×", "≥ 20,000/s, ≥ 40 ×", many >= 20_000 and many >= 40 * peer),
        Figure("pipeline, 64 publishers, 3 handlers", f"{three:,.0f}/s", beside,
               f"{three / peer:.0f} ×", "—", True),
        Figure("pipeline, 1 publisher, 1 handler", f"{single:,.0f}/s", beside,
               f"{single / peer:.1f} ×", "≥ 1,500/s", single >= 1_500),
    ]  # fmt: skip
