"""Where the time of the pipeline goes: per thread the CPU time, the switches and a profile.

    python -m bench.profile pipeline --publishers 64 --top 25
    python -m bench.profile record --clock wall --save /tmp/profiles

First a run without a profiler: what each thread costs an event, and how often it gave up the
processor by itself (waiting for a lock, the GIL or the disk) or was made to. Then the same under
cProfile, one profile for each thread, which makes everything slower and calls look dearer than they
are: trust the first for sums and the second for who is to blame.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import pstats
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from bench.pipeline import publish_all
from bench.recording import event_groups
from eventbus import Event, EventBus
from eventbus.log import EventLog
from eventbus.log.unit import Unit

_MAIN = "publishers"
_ROOT = f"{Path(__file__).resolve().parents[1]}/"


@dataclass(frozen=True, slots=True)
class ThreadCost:
    """CPU seconds and context switches of a thread, or of threads with one name but a number."""

    name: str
    cpu_s: float
    waits: int  # voluntary switches: it had to wait
    preemptions: int

    def minus(self, before: ThreadCost) -> ThreadCost:
        return ThreadCost(
            self.name, self.cpu_s - before.cpu_s, self.waits - before.waits,
            self.preemptions - before.preemptions,
        )  # fmt: skip


class Profiles:
    """One cProfile.Profile for each thread that starts while it is installed, and for this one."""

    def __init__(self, clock: str) -> None:
        self._timer = time.thread_time if clock == "cpu" else time.perf_counter
        self._lock = threading.Lock()
        self.by_thread: dict[str, list[cProfile.Profile]] = {}

    def __enter__(self) -> Profiles:
        threading.setprofile(self._begin)
        self._add(_MAIN).enable()
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)
        for profile in self.by_thread[_MAIN]:
            profile.disable()

    def stats(self) -> dict[str, pstats.Stats]:
        """By thread; the threads have ended."""
        return {name: _merged(profiles) for name, profiles in sorted(self.by_thread.items())}

    def _begin(self, frame: FrameType, event: str, argument: Any) -> None:
        # The first event of a new thread: from here on its own profiler sees its events.
        self._add(_group(threading.current_thread().name)).enable()

    def _add(self, name: str) -> cProfile.Profile:
        profile = cProfile.Profile(self._timer)
        with self._lock:
            self.by_thread.setdefault(name, []).append(profile)
        return profile


def _merged(profiles: list[cProfile.Profile]) -> pstats.Stats:
    merged: pstats.Stats | None = None
    for profile in profiles:
        profile.snapshot_stats()  # create_stats would disable this thread's profiler instead
        if profile.stats:
            if merged is None:
                merged = pstats.Stats(profile, stream=io.StringIO())
            else:
                merged.add(profile)
    return merged or pstats.Stats(stream=io.StringIO())


def _group(name: str) -> str:
    return _MAIN if name == "MainThread" else re.sub(r"[-_]\d+$", "", name)


def thread_costs() -> dict[str, ThreadCost]:
    """What the living threads of this process have cost so far, by name."""
    costs: dict[str, ThreadCost] = {}
    for thread in threading.enumerate():
        if thread.ident is None or not thread.is_alive():
            continue
        name = _group(thread.name)
        cpu_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        waits = int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])
        preemptions = int(re.search(r"^nonvoluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])
        known = costs.get(name, ThreadCost(name, 0.0, 0, 0))
        costs[name] = ThreadCost(
            name, known.cpu_s + cpu_s, known.waits + waits, known.preemptions + preemptions
        )
    return costs


@contextmanager
def measured(report: Callable[[float, list[ThreadCost]], None]) -> Iterator[None]:
    """Give ``report`` the seconds that the block took and what each thread cost meanwhile."""
    before, started = thread_costs(), time.perf_counter()
    yield
    took_s = time.perf_counter() - started
    report(took_s, [
        cost.minus(before.get(name, ThreadCost(name, 0.0, 0, 0)))
        for name, cost in sorted(thread_costs().items())
    ])  # fmt: skip


Report = Callable[[float, list[ThreadCost]], None]


def pipeline(options: argparse.Namespace, report: Report) -> None:
    """Publish, record, handle, record the delivery."""
    with tempfile.TemporaryDirectory() as folder:
        bus = EventBus.open(f"sqlite:///{Path(folder, 'events.db')}")
        handled = [0] * options.handlers

        def counting(number: int) -> Callable[[Event], Any]:
            async def handle(event: Event) -> None:
                handled[number] += 1

            return handle

        for number in range(options.handlers):
            bus.subscribe("evaluation.*", counting(number), name=f"handler-{number}")
        with bus, measured(report):
            asyncio.run(publish_all(bus, options.publishers, options.events))
            if not bus.drain(120):
                raise RuntimeError("the bus did not drain within 120 s")


def record(options: argparse.Namespace, report: Report) -> None:
    """Units of 1,000 events into the log alone."""
    groups = event_groups(max(1, options.events // 1_000))
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(f"sqlite:///{Path(folder, 'events.db')}")
        log.start(lambda recorded, batch: None)
        with measured(report):
            for group in groups:
                log.commit(Unit(group))
        log.close()


_WHAT = {"pipeline": pipeline, "record": record}


def _print_costs(events: int) -> Report:
    def report(took_s: float, costs: list[ThreadCost]) -> None:
        print(f"{events:,} events in {took_s:.2f} s: {events / took_s:,.0f}/s")
        print(f"{'thread':<20}{'CPU':>9}{'of the time':>13}{'an event':>12}{'waits':>9}{'cut':>7}")
        for cost in costs:
            print(
                f"{cost.name:<20}{cost.cpu_s:>7.2f} s{cost.cpu_s / took_s:>13.0%}"
                f"{cost.cpu_s * 1e6 / events:>9.1f} µs{cost.waits:>9,}{cost.preemptions:>7,}"
            )

    return report


def main() -> None:
    """Measure without and with the profiler, and print both."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=sorted(_WHAT))
    parser.add_argument("--publishers", type=int, default=64)
    parser.add_argument("--handlers", type=int, default=1)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--top", type=int, default=25, help="functions of each thread")
    parser.add_argument("--sort", default="tottime", help="as in pstats: tottime, cumulative …")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    parser.add_argument("--save", type=Path, help="a folder for the profiles, one a thread")
    parser.add_argument("--no-profile", action="store_true", help="the costs alone")
    options = parser.parse_args()
    run = _WHAT[options.what]
    run(options, _print_costs(options.events))
    if options.no_profile:
        return
    profiles = Profiles(options.clock)
    with profiles:
        run(options, lambda took_s, costs: None)
    for name, stats in profiles.stats().items():
        print(f"\n== {name} ({options.clock} time under cProfile)")
        _print_stats(stats, options.sort, options.top)
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            stats.dump_stats(options.save / f"{name}.prof")


def _print_stats(stats: pstats.Stats, sort: str, top: int) -> None:
    stats.stream = io.StringIO()
    stats.sort_stats(sort).print_stats(top)
    # Paths from the packages on: where they are installed would only push the names out of sight.
    for line in stats.stream.getvalue().splitlines():
        if line.strip() and "Ordered by" not in line and "due to restriction" not in line:
            print(
                re.sub(r"/\S*/(site-packages/|lib/python[\d.]+/)", r"\1", line.replace(_ROOT, ""))
            )


if __name__ == "__main__":
    main()
