"""What publishing over the network gives back, for threads and for coroutines."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from eventbus import Event
from eventbus.errors import (
    ReceiptTimeoutError,
)
from tests.helpers.waiting import within


def test_a_receipt_gives_the_recorded_event_to_a_thread(bus, connect) -> None:
    client = connect(bus.url)
    client.publish("a.a")
    receipt = client.publish("a.b", {"x": 1})
    event = receipt.wait(10)
    assert (event.type, event.sequence, event["x"]) == ("a.b", 2, 1)
    assert receipt.event.sequence == 2
    assert receipt.is_recorded


def test_a_receipt_that_waits_too_long_says_so(connect) -> None:
    client = connect("http://127.0.0.1:1")
    with pytest.raises(ReceiptTimeoutError):
        client.publish("a.b").wait(0.05)


def test_a_coroutine_may_await_receipts_without_blocking_its_loop(bus, connect) -> None:
    client = connect(bus.url)

    async def publish_all() -> tuple[list[Event], float]:
        bus.hold()
        longest = 0.0
        receipts = [client.publish("a.b", {"n": n}) for n in range(300)]
        asyncio.get_running_loop().call_later(1.0, bus.release)
        waiting = asyncio.gather(*(as_coroutine(receipt) for receipt in receipts))
        while not waiting.done():
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
        settled = await waiting
        assert await receipts[0] == settled[0]  # once more, when it is long settled
        return settled, longest

    async def as_coroutine(receipt: Any) -> Event:
        return await receipt

    events, longest = asyncio.run(publish_all())
    assert [event["n"] for event in events] == list(range(300))
    assert longest < within(0.7)


def test_a_loop_that_ended_before_its_receipt_harms_nobody(bus, connect) -> None:
    client = connect(bus.url)
    bus.hold()

    async def give_up() -> None:
        receipt = client.publish("a.b")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await receipt

    asyncio.run(give_up())
    bus.release()
    client.publish("a.c")
    assert client.flush(10)
    assert len(bus.events) == 2
