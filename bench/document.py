"""``docs/benchmarks.md``: how to read the figures, the machine, and the table of one run."""

from __future__ import annotations

from pathlib import Path

from bench.history import ASKED
from bench.options import Options
from bench.report import Figure, table

PATH = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"

_BEFORE = """\
# Benchmarks

Written by `make bench`; do not edit. A part alone: `python -m bench pipeline`, which prints and
writes nothing. Where the time goes: `python -m bench.profile pipeline`. For hours: `make soak`.

## How to read this

Every figure is the median of {rounds} measurements, with the least and the most in brackets. Ours
and its peer are measured in turn in the same run (A B, B A, A B), on the same disk, so **ratios
carry over to other machines, absolute figures do not**: a busy neighbour or a slower disk moves
both. *Met* compares with the budget that the design set before anything was measured; a row without
one is there for comparison.

What the rows mean:

- **Everything of ours is durable.** Each acknowledged event is on disk (`synchronous=FULL`, one
  fsync a commit) before its publisher is told, and each delivery's outcome is recorded too. Of the
  peers only huey, persist-queue, eventsourcing and the plain file keep what they accept; blinker,
  pyee, pymitter and bubus call functions and forget, which is another job and hundreds of times
  cheaper for the first three. They stand there to show what durability costs.
- **Look-up** finds the subscriptions of a type that has been seen before, in this process's cache.
- **Record only** writes events that exist as objects. The first bare sqlite3 turns the same objects
  into rows, as any program has to; the second has its rows ready.
- **Pipeline** is publish → commit → async handler → delivery committed. A publisher waits for each
  event to be durable before it makes the next: with one, every event pays for a whole commit; with
  64, they share it. The clock stops when the last delivery is recorded.
- **HTTP single** posts one event at a time on each of 8 kept connections. The no-op servers parse
  the JSON and answer. The client is one thread on raw sockets, so that it takes little of the
  machine from the server.
- **HTTP batches** post 100 events at a time. *New evaluations*: 25 evaluations in a batch with
  started, two progress, completed; the clock stops when all handlers have handled everything,
  also the two further events that handlers publish for each evaluation, which are not counted.
  *The same 100 evaluations again*: all work is on 100 keys, each in order, the worst case.
- **Sockets** counts from before the request is sent until the frame is read, for every event and
  socket. Reader and publisher run on the same machine as the server.
- **Browser** counts frames and long tasks of the live page in five windows of one Chromium, each
  with a filter of its own, while 2,000 events/s are published; browser, publisher and server share
  the machine.
- **Large log** asks over HTTP for pages of 50 while new evaluations come in and are handled, each
  filter {asked} times. *Start* is from the launch of the process to its first answer.
- **Memory** is the resident memory of the server's process, read twenty times on the way.
"""


def write(
    path: Path,
    machine: list[tuple[str, str]],
    options: Options,
    figures: list[Figure],
    took_s: float,
) -> None:
    """Write the document of one run."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in machine)
    met = [figure.is_met for figure in figures if figure.is_met is not None]
    path.write_text(
        f"{_BEFORE.format(rounds=options.rounds, asked=ASKED)}\n"
        f"## Where\n\n| | |\n|---|---|\n{rows}\n\n"
        f"## Figures\n\n{sum(met)} of {len(met)} budgets met, in a run of {took_s / 60:.0f} min."
        f"\n\n{table(figures)}\n"
    )
