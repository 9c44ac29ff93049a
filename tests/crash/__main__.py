"""Runs the harness for long: `make crash ROUNDS=500 SEED=1`.

    python -m tests.crash [--rounds 100] [--seed N] [--keep DIRECTORY] [--postgresql]

With ``--postgresql`` two or three processes share a log in the server that `make services` started.

Exits with 1 when it found something; the database, the journals and the seed of each such life
are then kept in a folder of ``var/crash/``.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.facts import Finding
from tests.crash.life import Life
from tests.crash.points import Deck
from tests.crash.shared_life import SharedLife
from tests.crash.tally import Tally
from tests.crash.zygote import ROOT, Zygote
from tests.services import ROOT as SERVICES
from tests.services import Postgresql

ROUNDS_PER_LIFE = 10
# From so many rounds on, a point that nobody ever came by is an error of the harness.
_ENOUGH_ROUNDS = 100


def run(rounds: int, seed: int, keep: Path, server_url: str | None = None) -> Tally:
    """Run that many rounds, at ``server_url`` by processes that share a log; prints as it goes."""
    tally = Tally()
    chance = random.Random(seed)
    deck = Deck(random.Random(seed))
    with Zygote() as zygote:
        while tally.rounds < rounds:
            life_seed = chance.randrange(2**32)
            with tempfile.TemporaryDirectory(prefix="eventbus-crash-") as directory:
                place = Path(directory, "life")
                life: Life | SharedLife
                if server_url is None:
                    life = Life(place, life_seed, zygote, tally, deck)
                else:
                    life = SharedLife(place, life_seed, zygote, tally, deck, server_url)
                findings = life.run(min(ROUNDS_PER_LIFE, rounds - tally.rounds))
                if findings:
                    _keep(place, keep, seed, life_seed, findings)
            print(tally.line(), flush=True)
    return tally


def _keep(place: Path, keep: Path, seed: int, life_seed: int, findings: list[Finding]) -> None:
    target = keep / time.strftime("%Y%m%d-%H%M%S")
    shutil.copytree(place, target)
    lines = [f"seed {seed}, life {life_seed}"]
    lines += [f"{finding.rule}: {finding.text}" for finding in findings]
    (target / "findings.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[:20]))
    print(f"{len(findings)} findings, kept in {target}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=ROOT / "var" / "crash")
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    server = Postgresql(SERVICES / Postgresql.name)
    if options.postgresql and not server.is_running:
        parser.error("PostgreSQL does not run here; `make services` starts it")
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"{options.rounds} rounds, seed {seed}", flush=True)
    server_url = server.url if options.postgresql else None
    tally = run(options.rounds, seed, options.keep, server_url)
    print(f"\n{tally.report()}\n\nseed {seed}")
    missing = tally.never_passed() if tally.rounds >= _ENOUGH_ROUNDS else []
    if missing:
        print(f"points that nothing came by: {', '.join(missing)}; mend tests/crash/points.py")
    return 1 if tally.findings or missing else 0


if __name__ == "__main__":
    sys.exit(main())
