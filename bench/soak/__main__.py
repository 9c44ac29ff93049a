"""``python -m bench.soak``: a steady load on the real server, everything about it checked.

    python -m bench.soak --minutes 30 --rate 300 --sockets 50

The load is what the demo platform says, with a malformed event now and then that must end as a
dead letter. One socket in five is a live page, the others are streams; every 20 seconds one of
them loses its connection and comes back. Ends with 1 when an event is missing or double at any
socket, a counter differs from what the producer said, a subscription falls behind, an answer or a
log line is an error, or memory grows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import described_in_one_line
from bench.server import ROOT, ours
from bench.soak.run import Run, all_problems
from bench.soak.verdict import (
    Bounds,
    count_problems,
    lag_problems,
    memory_problems,
    settled,
)
from bench.soak.watch import Logged, Watch, logged

_SHOWN_ROWS = 12


def main() -> None:
    """Run, print, write the JSON; exit code 1 when anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=300.0, help="events per second (300)")
    parser.add_argument("--sockets", type=int, default=50)
    # By minute 5 the caches of SQLite's writer, readers and index are most of them full.
    parser.add_argument(
        "--growth-mib", type=float, default=40.0,
        help="allowed from minute 5 to the end, half of it in the second half (40)",
    )  # fmt: skip
    parser.add_argument("--rss-mib", type=float, default=250.0, help="allowed at any time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, default=ROOT / "var" / "soak.json")
    options = parser.parse_args()
    bounds = Bounds(options.growth_mib, options.rss_mib, options.rate)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options, bounds)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1))
    print(f"\nwritten to {options.json}")
    if found["problems"]:
        print("\n".join(f"PROBLEM: {problem}" for problem in found["problems"]))
        sys.exit(1)
    print("nothing wrong")


def soak(folder: Path, options: argparse.Namespace, bounds: Bounds) -> dict[str, Any]:
    """One run on a fresh database in ``folder``; prints the table and gives everything it found."""
    print(
        f"{described_in_one_line()}\n{options.rate:g} events/s for {options.minutes:g} min, "
        f"{options.sockets} sockets, seed {options.seed}",
        flush=True,
    )
    with ours(str(folder), EVENTBUS_LOG_LEVEL="warning") as server:
        run = Run(server, options.rate, options.sockets, options.seed)
        watch = Watch(server, folder, run.latencies.take_recent)
        watch.start()
        started = time.perf_counter()
        try:
            run.run(options.minutes * 60)
            took_s = time.perf_counter() - started
            end = run.finish()
        finally:
            watch.close()
        counters = server.get("/api/stats")["counters"]
        dead = server.get("/api/deliveries/counts")["counts"]["dead"]
        run.close()
    written = logged(folder / "server.log")
    producer = run.producer
    problems = [
        *producer.problems, *run.problems, *all_problems(run.listeners), *watch.problems,
        *memory_problems(watch.readings, bounds), *lag_problems(watch.readings, bounds),
        *count_problems(producer.platform.books, producer.poisoned, counters, dead, written),
    ]  # fmt: skip
    if producer.accepted < 0.95 * options.rate * took_s:
        problems.append(f"only {producer.accepted / took_s:.0f} events/s were accepted")
    found = _found(run, watch, counters, dead, written, end, took_s)
    _print(found, watch)
    return {**found, "problems": problems}


def _found(
    run: Run, watch: Watch, counters: dict[str, int], dead: int, written: Logged, end: int,
    took_s: float,
) -> dict[str, Any]:  # fmt: skip
    first, latencies, producer = settled(watch.readings), run.latencies, run.producer
    return {
        "seconds": round(took_s, 1),
        "accepted": producer.accepted,
        "rate": round(producer.accepted / took_s, 1),
        "late_batches": producer.late,
        "log_end": end,
        "received": sum(listener.position for listener in run.listeners),
        "reconnections": sum(listener.reconnections for listener in run.listeners),
        "socket_problems": sum(listener.problem_count for listener in run.listeners),
        "latency_ms": {
            "p50": latencies.percentile_ms(50), "p99": latencies.percentile_ms(99),
            "most": latencies.percentile_ms(100), "count": latencies.count,
        },
        "rss_mib": {
            "settled": first and first.rss_mib, "settled_at_s": first and first.at_s,
            "end": watch.readings[-1].rss_mib if watch.readings else None,
            "most": max((reading.rss_mib for reading in watch.readings), default=None),
        },
        "dead_letters": {"expected": producer.poisoned, "found": dead},
        "log": {"warnings": written.warnings, "errors": written.errors, "lines": written.lines},
        "counters": counters,
        "readings": [reading.as_dict() for reading in watch.readings],
    }  # fmt: skip


def _print(found: dict[str, Any], watch: Watch) -> None:
    readings = watch.readings
    print(f"{'time':>7}{'RSS':>9}{'database':>11}{'WAL':>8}{'lag':>7}{'p50':>8}{'p99':>8}  threads")
    step = max(1, len(readings) // _SHOWN_ROWS)
    shown = readings[::step] + ([readings[-1]] if len(readings) % step != 1 else [])
    for one in shown:
        latency = "".join(
            f"{'—' if ms is None else f'{ms:.0f} ms':>8}" for ms in (one.p50_ms, one.p99_ms)
        )
        print(
            f"{one.at_s:>5.0f} s{one.rss_mib:>5.0f} MiB{one.database_mib:>7.0f} MiB"
            f"{one.wal_mib:>4.0f} MiB{one.lag:>7,}{latency}{one.threads:>9}"
        )
    rss, latency_ms, dead = found["rss_mib"], found["latency_ms"], found["dead_letters"]
    print(
        f"\n{found['accepted']:,} events accepted ({found['rate']:,.0f}/s), log ends at "
        f"{found['log_end']:,}; {found['received']:,} received at all sockets over "
        f"{found['reconnections']} reconnections, {found['socket_problems']} holes and errors\n"
        f"publish to frame: p50 {latency_ms['p50']} ms, p99 {latency_ms['p99']} ms, "
        f"most {latency_ms['most']} ms\n"
        f"RSS {rss['settled']:.0f} MiB at {rss['settled_at_s']:.0f} s, {rss['end']:.0f} at the "
        f"end, {rss['most']:.0f} at most\n"
        f"dead letters: {dead['found']} of {dead['expected']} expected; log: "
        f"{found['log']['errors']} errors, {found['log']['warnings']} warnings"
    )


def _ms(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f} ms"


if __name__ == "__main__":
    main()
