"""``python -m bench``: every measurement in one go, as one table of medians and ratios."""

from __future__ import annotations

import argparse

from bench import http, matching, pipeline, recording, sockets
from bench.report import machine, table

_PARTS = {
    "matching": matching,
    "recording": recording,
    "pipeline": pipeline,
    "http": http,
    "sockets": sockets,
}


def main() -> None:
    """Run the parts asked for (all by default) and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per median")
    options = parser.parse_args()
    figures = []
    for name in options.parts or _PARTS:
        figures += _PARTS[name].figures(options.rounds)
    print(f"{machine()}; medians of {options.rounds}\n\n{table(figures)}")


if __name__ == "__main__":
    main()
