"""Closing: quick with hung handlers, patient with those that are nearly done, losing nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest

from eventbus import Event
from tests.helpers.bus import LONG_S, Recorder, open_bus
from tests.helpers.waiting import within


def test_closing_with_a_hung_handler_is_quick_and_loses_nothing(url: str) -> None:
    never = threading.Event()
    hung = Recorder(lambda event: never.wait(LONG_S))
    bus = open_bus(url)
    bus.subscribe("a", hung, name="mine")
    bus.publish("a")
    hung.wait_for(1)
    started = time.monotonic()
    bus.close(timeout=0.3)
    assert time.monotonic() - started < within(2.0)
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        handler.wait_for(1)
        assert bus.drain(LONG_S)
        (delivery,) = bus.log.deliveries(1)
        assert (delivery.state, delivery.attempt) == ("succeeded", 1)
    never.set()


UNCLOSED = """
import asyncio, sys
from eventbus import EventBus

bus = EventBus.open(sys.argv[1])

async def main():
    for n in range(500):
        bus.publish("a.b", {"n": n})

asyncio.run(main())
"""


def test_what_nobody_has_waited_for_is_recorded_by_a_process_that_closes_no_bus(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", UNCLOSED, url], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with open_bus(url) as bus:
        recorded = [event["n"] for event in bus.log.read(0, limit=1_000).events]
    assert recorded == list(range(500))


def test_closing_with_a_handler_that_blocks_the_loop_is_quick(url: str) -> None:
    entered, never = threading.Event(), threading.Event()

    async def blocks(event: Event) -> None:
        entered.set()
        never.wait(LONG_S)

    bus = open_bus(url)
    bus.subscribe("a", blocks, name="mine")
    bus.publish("a")
    assert entered.wait(LONG_S)
    started = time.monotonic()
    bus.close()
    assert time.monotonic() - started < within(3.0)  # what a stop of the server may take
    never.set()


def test_a_handler_that_is_nearly_done_may_finish_while_the_bus_closes(url: str) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def handle(event: Event) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    bus = open_bus(url)
    bus.subscribe("a", handle, name="mine")
    bus.publish("a")
    assert entered.wait(LONG_S)
    closing = threading.Thread(target=bus.close, args=(LONG_S,))
    closing.start()
    go_on.set()
    closing.join()
    with open_bus(url) as bus:
        assert bus.log.deliveries(1)[0].state == "succeeded"


def test_what_a_handler_that_swallows_its_time_out_still_raises_is_told_by_nobody(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    async def swallow(event: Event) -> None:
        for _ in ("the time-out", "the close"):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG_S)
        try:
            bus.publish("b")
        finally:
            ended.set()

    bus = open_bus(url)
    bus.subscribe("a", swallow, name="mine", timeout=0.05, max_attempts=1)
    assert bus.publish("a").deliveries(LONG_S)[0].error_class == "HandlerTimeoutError"
    bus.close(timeout=0.05)
    assert ended.wait(LONG_S)
    gc.collect()
    assert [r.getMessage() for r in caplog.records if "never retrieved" in r.getMessage()] == []
