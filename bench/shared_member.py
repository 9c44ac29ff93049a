"""One process of ``bench.shared``: publishes as told, and handles its share of what there is."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_INSERT = "INSERT INTO done (sent_us) VALUES (%s)"
_PREFETCH = 32
_SUBSCRIPTIONS = 8
_STOP_S = 3.0
Publish = Callable[[int], None]
"""Publishes one event that says when it was sent, in microseconds; returns when it is safe."""


def main() -> None:
    peer, url, broker, folder, name = sys.argv[1:]
    publish, close = _PEERS[peer](url, broker, folder, name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _say("ready")
        for line in sys.stdin:
            count, threads = map(int, line.split())
            _publish_all(publish, count, threads)
            _say("published")
    finally:
        close()


def _publish_all(publish: Publish, count: int, threads: int) -> None:
    def some(number: int) -> None:
        for _ in range(number, count, threads):
            publish(time.time_ns() // 1_000)

    started = [threading.Thread(target=some, args=(n,)) for n in range(threads)]
    for each in started:
        each.start()
    for each in started:
        each.join()


def _eventbus(
    url: str, broker: str, folder: str, name: str, subscriptions: int = 1
) -> tuple[Publish, Callable[[], None]]:
    """Events of as many types as there are subscriptions, which the processes share out."""
    from sqlalchemy import text

    from eventbus import Event, EventBus
    from eventbus.log import EventLog

    bus = EventBus(EventLog(url, Path(folder)), source=f"/{os.getpid()}")
    insert = text(_INSERT.replace("%s", ":sent"))

    def write(conn: Any, rows: list[int]) -> None:
        conn.execute(insert, [{"sent": row} for row in rows])

    async def handle(event: Event) -> None:
        bus.effect(write, event["sent"])

    for number in range(subscriptions):
        bus.subscribe(f"job.{number}", handle, name=f"worker-{number}", concurrency=_PREFETCH)
    turn = itertools.count()

    def publish(sent_us: int) -> None:
        type = f"job.{next(turn) % subscriptions}"
        bus.publish(type, {"sent": sent_us}, subject=str(sent_us))

    return publish, bus.close


def _celery(url: str, broker: str, folder: str, name: str) -> tuple[Publish, Callable[[], None]]:
    """A worker process beside this one, as one runs it; tasks are acknowledged after the row."""
    environment = {**os.environ, "BENCH_URL": url, "BENCH_BROKER": broker, "BENCH_QUEUE": name}
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "bench.shared_celery", "worker", "--pool", "threads",
         "--concurrency", str(_PREFETCH), "--without-gossip", "--without-mingle",
         "--without-heartbeat", "-n", f"{os.getpid()}@bench", "-Q", name],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.environ.update(environment)
    from bench.shared_celery import app, job

    while not app.control.ping(timeout=0.5, destination=[f"{os.getpid()}@bench"]):
        if worker.poll() is not None:
            raise RuntimeError("the worker has ended")

    def close() -> None:
        worker.terminate()
        try:
            worker.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # all is counted; what it still waits for is nobody's
            worker.kill()
            worker.wait()

    return lambda sent_us: job.apply_async((sent_us,), queue=name), close


def _faststream(
    url: str, broker: str, folder: str, name: str
) -> tuple[Publish, Callable[[], None]]:
    import psycopg
    from faststream import AckPolicy
    from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

    loop = asyncio.new_event_loop()
    queue = RabbitQueue(name, durable=True)
    bus = RabbitBroker(broker, default_channel=Channel(prefetch_count=_PREFETCH), logger=None)
    pool: list[psycopg.AsyncConnection[Any]] = []

    @bus.subscriber(queue, ack_policy=AckPolicy.NACK_ON_ERROR)  # acknowledged after the handler
    async def handle(sent_us: int) -> None:
        conn = pool.pop() if pool else await psycopg.AsyncConnection.connect(url, autocommit=True)
        await conn.execute(_INSERT, (sent_us,))
        pool.append(conn)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(bus.start(), loop).result(30)

    def publish(sent_us: int) -> None:
        sending = bus.publish(sent_us, queue=queue, persist=True)
        asyncio.run_coroutine_threadsafe(sending, loop).result(60)

    def close() -> None:
        asyncio.run_coroutine_threadsafe(bus.stop(), loop).result(10)

    return publish, close


_PEERS = {
    "eventbus": _eventbus,
    "eventbus-shared": partial(_eventbus, subscriptions=_SUBSCRIPTIONS),
    "celery": _celery,
    "faststream": _faststream,
}


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
