"""``python -m bench``: every measurement in one go, as one table of medians and ratios."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import (
    browser,
    document,
    history,
    http,
    matching,
    memory,
    pipeline,
    recording,
    sockets,
    travel,
)
from bench.machine import described
from bench.options import Options
from bench.report import Figure, table

_PARTS = {
    "matching": matching,
    "recording": recording,
    "pipeline": pipeline,
    "http": http,
    "sockets": sockets,
    "browser": browser,
    "history": history,
    "travel": travel,
    "memory": memory,
}


def main() -> None:
    """Run the parts asked for and print the table; write the document when it is all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per median (3)")
    parser.add_argument("--events", type=int, default=5_000_000, help="in the large log (5 M)")
    parser.add_argument(
        "--travelled", type=int, default=1_000_000, help="in the log of time travel (1 M)"
    )
    parser.add_argument(
        "--published", type=int, default=1_000_000, help="events before memory is read (1 M)"
    )
    parser.add_argument("--folder", help="where databases are made (the system's temporary one)")
    parser.add_argument("--output", type=Path, help=f"write the document here ({document.PATH})")
    options = parser.parse_args()
    unknown = set(options.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    if options.folder:
        tempfile.tempdir = options.folder
    output = options.output or (None if options.parts else document.PATH)
    machine = described()
    print("\n".join(f"{name}: {value}" for name, value in machine), flush=True)
    sizes = Options(options.rounds, options.events, options.travelled, options.published)
    started = time.monotonic()
    figures: list[Figure] = []
    for name in options.parts or _PARTS:
        part_started = time.monotonic()
        figures += _PARTS[name].figures(sizes)
        print(f"{name}: {time.monotonic() - part_started:.0f} s", file=sys.stderr, flush=True)
    print(f"\nmedians of {sizes.rounds} (least–most)\n\n{table(figures)}")
    if output is not None:
        document.write(output, machine, sizes, figures, time.monotonic() - started)
        print(f"\nwritten to {output}")


if __name__ == "__main__":
    main()
