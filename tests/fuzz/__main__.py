"""A long run: python -m tests.fuzz [--requests N] [--frames N] [--seed N]."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fuzz import http, moments, sockets
from tests.fuzz.aftermath import faults_of, faults_of_output
from tests.helpers.pages import IMPATIENT, fill
from tests.helpers.server import ServerProcess

MOST_EXAMPLES = 20
# Right and wrong ones of some sixty operations, for a round of a short run.
OPERATIONS = 120
# Of each request; they are quick, and what they break lies elsewhere.
MUTANTS = 6


def main() -> int:
    """Storm a server of its own over HTTP and WebSockets at once; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    requests, frames = http.Tally(), sockets.SocketTally()
    with (
        tempfile.TemporaryDirectory() as directory,
        ServerProcess(Path(directory), **IMPATIENT, EVENTBUS_MAX_SOCKETS="64") as server,
    ):
        fill(server)
        attack = threading.Thread(
            target=sockets.storm, args=(server.port, wanted.frames, frames, wanted.seed)
        )
        attack.start()
        examples = min(MOST_EXAMPLES, max(1, wanted.requests // OPERATIONS // (1 + MUTANTS)))
        began, number = time.monotonic(), wanted.seed
        while requests.count < wanted.requests and not requests.failures and not frames.failures:
            http.storm(server.url, examples, requests, number, mutants=MUTANTS)
            number += 1
            took_s = time.monotonic() - began
            print(
                f"{requests.count} requests, {frames.frames} frames on {frames.connections} "
                f"connections, {took_s:.0f} s", flush=True,
            )  # fmt: skip
        moments.storm(server.url, requests, [*moments.PAGES, *moments.api_paths(server.url)])
        attack.join()
        faults = [*requests.failures, *frames.failures, *faults_of(server, requests.acknowledged)]
    with tempfile.TemporaryDirectory() as directory, ServerProcess(Path(directory)) as server:
        access = http.Tally()
        http.storm(server.url, MOST_EXAMPLES, access, number, is_access=True)
        faults += [*access.failures, *faults_of_output(server)]
    print(f"answers by status: {dict(sorted(requests.statuses.items()))}")
    print(f"ends of connections: {dict(frames.closes)}")
    print(f"acknowledged events looked up in the log: {len(requests.acknowledged)}")
    for fault in faults:
        print(f"FOUND: {fault}")
    print("nothing was found" if not faults else f"{len(faults)} faults; again with --seed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
