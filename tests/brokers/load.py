"""Load for failure tests: many threads publish numbered events; then every one is looked for."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Self

from eventbus.errors import EventBusError

SUBJECTS = 8
_PACE_S = 0.004


class Load:
    """Threads that publish one event after the other, each on subjects of its own.

    ``publish(subject, n)`` returns when the event is acknowledged; what raises was not.
    ``acknowledged`` has the numbers by subject, in their order.
    """

    def __init__(self, publish: Callable[[str, int], None], threads: int = 2) -> None:
        self._publish = publish
        self._closing = threading.Event()
        self.acknowledged: dict[str, list[int]] = defaultdict(list)
        self.failed = 0
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]

    @property
    def count(self) -> int:
        return sum(len(numbers) for numbers in self.acknowledged.values())

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the threads; ``acknowledged`` changes no more."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        n = 0
        while not self._closing.is_set():
            subject = f"{number}-{n % SUBJECTS}"
            try:
                self._publish(subject, n)
            except (EventBusError, OSError, HTTPException, AssertionError):
                self.failed += 1
                time.sleep(0.05)
            else:
                self.acknowledged[subject].append(n)
            n += 1
            time.sleep(_PACE_S)


def recorded_numbers(database: Path, type: str) -> dict[str, list[int]]:
    """What a log has of a type: the numbers by subject in the order of the log, read past us."""
    found: dict[str, list[int]] = defaultdict(list)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as conn:
        rows = conn.execute(
            "SELECT subject, json_extract(data, '$.n') FROM events WHERE type = ? "
            "ORDER BY sequence", (type,),
        )  # fmt: skip
        for subject, n in rows:
            found[subject].append(n)
    return found


def check_complete(sent: dict[str, list[int]], found: dict[str, list[int]]) -> None:
    """Nothing that was acknowledged is missing, nothing is there twice, all are in order.

    What was not acknowledged may have been recorded all the same.
    """
    for subject, numbers in sent.items():
        there = found.get(subject, [])
        missing = sorted(set(numbers) - set(there))
        assert not missing, f"{subject} lost {len(missing)}: {missing[:10]}"
        assert len(there) == len(set(there)), f"{subject} has some twice"
        assert there == sorted(there), f"{subject} is out of order"


def first_occurrences(numbers: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The numbers by subject as a reader sees them that leaves out what it has had."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for subject, n in numbers:
        found[subject].setdefault(n)
    return {subject: list(seen) for subject, seen in found.items()}
