"""What the database, the clients' journals and the handlers' run log say, read without the bus."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be; ``rule`` is its name, ``text`` what was seen."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What a client sent in one go; ``answers`` are (id, sequence, is duplicate) or None."""

    client: str
    number: int
    events: list[dict[str, Any]]
    answers: list[Any] | None
    again: list[list[Any]]
    refusal: str | None

    @property
    def name(self) -> str:
        return f"{self.client}/{self.number}"


@dataclass(frozen=True, slots=True)
class Runs:
    """The handlers' own log: runs begun and ended by (process, subscription, sequence).

    ``noted`` are those of which the recorder of attempts was told, with the subscription's id for
    its name. ``clean`` are the processes that ended in good order; every other one was killed.
    """

    noted: set[tuple[int, str, int]] = field(default_factory=set)
    begun: dict[tuple[int, str, int], int] = field(default_factory=lambda: defaultdict(int))
    ended: dict[tuple[int, str, int], int] = field(default_factory=lambda: defaultdict(int))
    clean: set[int] = field(default_factory=set)

    def cut(self) -> Iterator[tuple[int, str, int]]:
        """Those that were under way when their process was killed."""
        for key, count in self.begun.items():
            if key[0] not in self.clean and count > self.ended.get(key, 0):
                yield key


class Facts:
    """Everything that a check needs, in memory: the databases of the harness are small."""

    def __init__(self, database: Path | str, journals: Path, runs: Path) -> None:
        """``database`` is SQLite's file, or the URL of a schema of PostgreSQL that was shared."""
        self.is_shared = isinstance(database, str)
        conn: Any
        if isinstance(database, str):
            conn = psycopg.connect(database, row_factory=dict_row)  # type: ignore[arg-type]
        else:
            conn = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
            conn.row_factory = sqlite3.Row
        try:
            self.integrity = ["ok"]  # of a server it has tools of its own
            if not self.is_shared:
                self.integrity = [row[0] for row in conn.execute("PRAGMA integrity_check(10)")]
            self.events = _rows(conn, "SELECT * FROM events ORDER BY sequence")
            self.subscriptions = _rows(conn, "SELECT * FROM subscriptions ORDER BY id")
            self.deliveries = _rows(conn, "SELECT * FROM deliveries ORDER BY 1, 2")
            self.attempts = _rows(conn, "SELECT * FROM attempts ORDER BY 1, 2, 3")
            self.applied = _rows(conn, "SELECT * FROM crash_applied ORDER BY position")
            self.sums = _rows(conn, "SELECT * FROM crash_sums")
            self.scheduled = _rows(conn, "SELECT * FROM scheduled")
        finally:
            conn.close()
        for event in self.events:
            event["data"] = json.loads(event["data"])
        self.by_key = {(event["source"], event["id"]): event for event in self.events}
        self.by_sequence = {event["sequence"]: event for event in self.events}
        self.names = {row["id"]: row["name"] for row in self.subscriptions}
        self.attempts_of: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for attempt in self.attempts:
            self.attempts_of[attempt["sequence"], attempt["subscription"]].append(attempt)
        self._states = {
            (self.names.get(row["subscription"], ""), row["sequence"]): row["state"]
            for row in self.deliveries
        }
        self.messages = [m for path in sorted(journals.glob("*.jsonl")) for m in _messages(path)]
        self.runs = _read_runs(runs)

    def state_of(self, name: str, sequence: int) -> str | None:
        """The state of an event's delivery at the subscription ``name``."""
        return self._states.get((name, sequence))


def matches(pattern: str, type: str) -> bool:
    """Whether a pattern covers a type: the rules of the documentation, as naively as they read."""
    wanted, given = pattern.split("."), type.split(".")
    if pattern == "*":
        return True
    return _matches(wanted, given)


def _matches(wanted: list[str], given: list[str]) -> bool:
    if not wanted:
        return not given
    first, rest = wanted[0], wanted[1:]
    if first == "#":
        return any(_matches(rest, given[skipped:]) for skipped in range(len(given) + 1))
    if first == "*" and not rest:
        return len(given) >= 1
    if not given or first not in ("*", "+", given[0]):
        return False
    return _matches(rest, given[1:])


def _rows(conn: Any, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in conn.execute(query)]


def _messages(path: Path) -> list[Message]:
    sent: dict[int, list[dict[str, Any]]] = {}
    answers: dict[int, list[Any]] = {}
    again: dict[int, list[list[Any]]] = defaultdict(list)
    refusals: dict[int, str] = {}
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # cut off by the client's death, so it never counted
        if "n" in line:
            sent[line["n"]] = line["events"]
        elif "ack" in line:
            answers[line["ack"]] = line["answers"]
        elif "again" in line:
            again[line["again"]].append(line["answers"])
        else:
            refusals[line["refused"]] = line["reason"]
    return [
        Message(path.stem, n, events, answers.get(n), again.get(n, []), refusals.get(n))
        for n, events in sorted(sent.items())
    ]


def _read_runs(path: Path) -> Runs:
    runs = Runs()
    for line in path.read_text().splitlines() if path.exists() else ():
        process, kind, name, sequence = line.split()
        key = (int(process), name, int(sequence))
        if kind == "X":
            runs.clean.add(key[0])
        elif kind == "N":
            runs.noted.add(key)
        else:
            (runs.begun if kind == "S" else runs.ended)[key] += 1
    return runs
