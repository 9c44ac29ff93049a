"""Publish, record, handle, record the delivery: events per second through the whole bus."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from eventbus import Event, EventBus


async def _publish(bus: EventBus, publishers: int, count: int) -> None:
    async def one(number: int) -> None:
        for i in range(count // publishers):
            await bus.publish("evaluation.progress", {"eval_id": f"eval-{number}-{i}", "done": i})

    await asyncio.gather(*(one(n) for n in range(publishers)))


def measure(publishers: int, count: int, handlers: int = 1) -> float:
    """Events per second until every delivery is recorded."""
    with tempfile.TemporaryDirectory() as folder:
        with EventBus.open(f"sqlite:///{Path(folder, 'events.db')}") as bus:
            handled = [0]

            async def handle(event: Event) -> None:
                handled[0] += 1

            for number in range(handlers):
                bus.subscribe("evaluation.*", handle, name=f"handler-{number}")
            started = time.perf_counter()
            asyncio.run(_publish(bus, publishers, count))
            if not bus.drain(60):
                raise RuntimeError("the bus did not drain within 60 s")
            elapsed = time.perf_counter() - started
            expected = count // publishers * publishers * handlers
            if handled[0] != expected:
                raise RuntimeError(f"{handled[0]} deliveries instead of {expected}")
    return count / elapsed


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for publishers, handlers, count in ((64, 1, options.count), (64, 3, options.count),
                                        (1, 1, options.count // 10)):  # fmt: skip
        figures = [measure(publishers, count, handlers) for _ in range(options.rounds)]
        print(f"{publishers:3d} publishers, {handlers} handlers: "
              f"{statistics.median(figures):8,.0f} events/s")  # fmt: skip


if __name__ == "__main__":
    main()
