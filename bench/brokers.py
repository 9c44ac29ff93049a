"""Events a second to and from a message broker, and how long one takes; on servers that run.

    python -m bench.brokers --events 20000

needs `make services`. A bus sends, another one takes in, both in this process with a log on disk
each; the figures are of one run, medians of its rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from eventbus import Event, EventBus, Pattern
from eventbus.brokers import Bridge, Broker, open_broker
from tests.services import ROOT, Kafka, RabbitMq

_ALL = (Pattern("#"),)
_BATCH = 500
_PAYLOAD = {"task": "math", "text": "x" * 200}
_PAIRS = 300
_WAIT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.brokers", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"{'':10} {'out/s':>9} {'in/s':>9} {'through/s':>10} {'one p50':>9} {'one p99':>9}")
    for server in (RabbitMq(ROOT / "rabbitmq"), Kafka(ROOT / "kafka")):
        if not server.is_running:
            print(f"{server.name:10} does not run; `make services` starts it")
            continue
        rounds = [_round(server, asked.events) for _ in range(asked.rounds)]
        out, taken, through, p50, p99 = map(statistics.median, zip(*rounds, strict=True))
        print(
            f"{server.name:10} {out:9,.0f} {taken:9,.0f} {through:10,.0f} "
            f"{p50:6.1f} ms {p99:6.1f} ms",
            flush=True,
        )


def _round(server: RabbitMq | Kafka, count: int) -> tuple[float, float, float, float, float]:
    """Relayed, taken in, and both at once, in events/s; one event from bus to bus, in ms."""
    name = f"bench{uuid4().hex[:8]}"
    option = "exchange" if server.name == "rabbitmq" else "topic"
    url = f"{server.url}?{option}={name}"

    def broker(group: str, is_taking: bool) -> Broker:
        return open_broker(url, name=f"{name}.{group}", take=_ALL if is_taking else ())

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_touch(broker("b", True)))  # its queue, or place, is there from now on
        a = EventBus.open(f"sqlite:///{Path(folder, 'a.db')}", source="/a")
        b = EventBus.open(f"sqlite:///{Path(folder, 'b.db')}", source="/b")
        sender = Bridge(a, broker("a", False), send=_ALL, take=(), max_event_bytes=262_144)
        taker = Bridge(b, broker("b", True), send=(), take=_ALL, max_event_bytes=262_144)
        try:
            sender.start()
            _until(lambda: sender.status().state == "connected")
            out = _rate(count, lambda: _publish(a, count), lambda: sender.status().sent)
            taken = _rate(count, taker.start, lambda: taker.status().taken)
            through = _rate(
                count, lambda: _publish(a, count), lambda: taker.status().taken - count
            )  # fmt: skip
            times = sorted(_one(a, b))
            return out, taken, through, times[len(times) // 2], times[int(len(times) * 0.99)]
        finally:
            for bridge in (sender, taker):
                bridge.close()
            a.close()
            b.close()
            if isinstance(server, RabbitMq):
                for queue in (f"{name}.b", f"{name}.b.dead"):
                    server.ctl("delete_queue", queue)


async def _touch(broker: Broker) -> None:
    await (await broker.connect()).close()


def _publish(bus: EventBus, count: int) -> None:
    for start in range(0, count, _BATCH):
        bus.publish_many(
            Event.create("bench.made", {"n": n, **_PAYLOAD}, source="/a", subject=f"s{n % 100}")
            for n in range(start, min(count, start + _BATCH))
        )


def _rate(count: int, begin: Callable[[], None], done: Callable[[], int]) -> float:
    began = time.perf_counter()
    begin()
    _until(lambda: done() >= count)
    return count / (time.perf_counter() - began)


def _one(a: EventBus, b: EventBus) -> list[float]:
    """From publishing one event here to its handler there, one after the other, in ms."""
    arrived: list[float] = []
    b.subscribe("bench.one", lambda event: arrived.append(time.perf_counter()), inline=True)
    times = []
    for n in range(_PAIRS):
        began = time.perf_counter()
        a.publish("bench.one", {"n": n})
        _until(lambda n=n: len(arrived) > n, 0.000_2)
        times.append((arrived[n] - began) * 1_000)
    return times


def _until(condition: Callable[[], bool], poll_s: float = 0.005) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the broker does not keep up: nothing came for two minutes")
        time.sleep(poll_s)


if __name__ == "__main__":
    main()
