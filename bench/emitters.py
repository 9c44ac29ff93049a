"""Emitters that keep nothing: pyee, blinker, pymitter, bubus. What a call costs, for context."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

_TYPE = "evaluation.progress"
_DATA = {"eval_id": "eval-1", "done": 1, "total": 100}


def _per_s(count: int, emit: Callable[[], object], handled: list[int]) -> float:
    """Calls of ``emit`` per second; every one must have been handled when it returns."""
    emit()
    handled[0] = 0
    started = time.perf_counter()
    for _ in range(count):
        emit()
    elapsed = time.perf_counter() - started
    if handled[0] != count:
        raise RuntimeError(f"{handled[0]} of {count} were handled")
    return count / elapsed


def blinker_per_s() -> float:
    """One sync receiver."""
    from blinker import Signal

    signal, handled = Signal(), [0]

    def receive(sender: object, **data: object) -> None:
        handled[0] += 1

    signal.connect(receive)
    return _per_s(100_000, lambda: signal.send(None, **_DATA), handled)


def pyee_per_s() -> float:
    """One sync listener."""
    from pyee import EventEmitter

    emitter, handled = EventEmitter(), [0]

    def listen(data: object) -> None:
        handled[0] += 1

    emitter.on(_TYPE, listen)
    return _per_s(100_000, lambda: emitter.emit(_TYPE, _DATA), handled)


def pyee_async_per_s() -> float:
    """One async listener, 64 emitted at a time."""
    from pyee.asyncio import AsyncIOEventEmitter

    async def run() -> float:
        emitter, handled, count = AsyncIOEventEmitter(), [0], 20_000

        async def listen(data: object) -> None:
            handled[0] += 1

        emitter.on(_TYPE, listen)
        started = time.perf_counter()
        for _ in range(count // 64):
            for _ in range(64):
                emitter.emit(_TYPE, _DATA)
            await emitter.wait_for_complete()
        return handled[0] / (time.perf_counter() - started)

    return asyncio.run(run())


def pymitter_per_s(patterns: int = 1) -> float:
    """One sync listener to ``evaluation.*`` beside ``patterns`` - 1 others that do not match."""
    from pymitter import EventEmitter

    emitter, handled = EventEmitter(wildcard=True), [0]

    def listen(data: object) -> None:
        handled[0] += 1

    emitter.on("evaluation.*", listen)
    for number in range(patterns - 1):
        emitter.on(f"other-{number}.*", listen)
    return _per_s(20_000 if patterns == 1 else 500, lambda: emitter.emit(_TYPE, _DATA), handled)


def bubus_per_s(count: int = 640) -> float:
    """One async handler, 32 published at a time."""
    from bubus import BaseEvent
    from bubus import EventBus as Bubus

    logging.getLogger("bubus").setLevel(logging.ERROR)

    class Progress(BaseEvent[None]):
        eval_id: str
        done: int
        total: int

    async def run() -> float:
        bus, handled = Bubus(), [0]

        async def handle(event: Progress) -> None:
            handled[0] += 1

        bus.on(Progress, handle)
        started = time.perf_counter()
        for _ in range(0, count, 32):
            dispatched: list[Awaitable[Any]] = [bus.dispatch(Progress(**_DATA)) for _ in range(32)]
            await asyncio.gather(*dispatched)
        elapsed = time.perf_counter() - started
        await bus.stop()
        if handled[0] < count:
            raise RuntimeError(f"bubus handled {handled[0]} of {count}")
        return count / elapsed

    return asyncio.run(run())
