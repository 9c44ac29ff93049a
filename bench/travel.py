"""Time travel on a large log: the state at times anywhere in it, and playing on from one."""

from __future__ import annotations

import random
import tempfile
import time

from bench.filling import fill
from bench.options import Options
from bench.report import Figure, Sample
from eventbus import EventBus
from eventbus.travel.keeper import SHARE
from handlers import install
from handlers.travel import Travels

_PLACES = 60
_FRAMES = 30
_FRAME_EVENTS = 600
"""What ten events a second are in a frame of playing at 60 times the speed."""
_AT_ONCE = 200
_ROOM = 10_000_000_000
_LONG_S = 1.0


def figures(options: Options) -> list[Figure]:
    """The budget: within a second, wherever in the log."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder, options.travelled, _AT_ONCE)
        with EventBus.open(f"sqlite:///{folder}/events.db") as bus:
            install(bus)
            # At full speed: a server takes its time, and the benchmark would wait for it.
            travels = Travels(bus, most_bytes=_ROOM, share=1.0)
            try:
                began = time.perf_counter()
                while travels.keeper.step():
                    pass
                made_s = time.perf_counter() - began
                end = bus.log.last_sequence
                chance = random.Random(1)
                places = _took(travels, [chance.randrange(1, end) for _ in range(_PLACES)])
                start = end // 2
                frames = _took(
                    travels, range(start, start + _FRAMES * _FRAME_EVENTS, _FRAME_EVENTS)
                )
                room = travels.snapshots.count_bytes() / bus.log.path.stat().st_size
            finally:
                travels.close()
    many = f"{options.travelled / 1e6:g} M events"
    return [
        Figure(
            f"the state at a time anywhere in {many}", places.shown(" ms"),
            f"snapshots: {options.travelled / made_s:,.0f} events/s with a whole processor, "
            f"of which a server gives {SHARE:.0%}; {room:.2f} × the log's size",
            budget="all < 1,000 ms", is_met=max(places.values) < _LONG_S * 1000,
        ),
        Figure(
            f"a frame of playing, {_FRAME_EVENTS} events further", frames.shown(" ms"),
            budget="median < 1,000 ms", is_met=frames.median < _LONG_S * 1000,
        ),
    ]  # fmt: skip


def _took(travels: Travels, positions: range | list[int]) -> Sample:
    """Milliseconds for what a page asks, at each position in turn."""
    values: list[float] = []
    for position in positions:
        began = time.perf_counter()
        with travels.at(position) as past:
            past.counters()
            past.evaluations.active()
            past.evaluations.list()
            past.alerts.open()
        values.append(1000 * (time.perf_counter() - began))
    return Sample(tuple(values))
