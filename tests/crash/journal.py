"""A client's journal on disk: what it sent and what was acknowledged, in lines that survive it.

{"n": 7, "events": [...]}                   written before message 7 is sent
{"ack": 7, "answers": [[id, sequence, duplicate], ...]}   on disk before it counts
{"again": 3, "answers": [...]}              message 3, acknowledged before, was sent once more
{"refused": 7, "reason": "..."}             an answer that no message of ours deserves
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Answer = tuple[str, int | None, bool]
"""Id, sequence (None: it is scheduled), whether it was recorded or scheduled before."""


class Journal:
    """For one thread or coroutine. Opened again it knows what the last life left unacknowledged."""

    def __init__(self, path: Path) -> None:
        self.next = 1
        self.sent: dict[int, list[dict[str, Any]]] = {}  # unacknowledged messages
        self.acknowledged: dict[int, list[dict[str, Any]]] = {}
        lines = read_lines(path)
        for line in lines:
            if "n" in line:
                self.sent[line["n"]] = line["events"]
                self.next = line["n"] + 1
            elif "ack" in line:
                self.acknowledged[line["ack"]] = self.sent.pop(line["ack"])
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            os.write(self._file, b"\n")  # a line that the death cut off

    def send(self, events: list[dict[str, Any]]) -> int:
        """Note that a message is about to be sent; gives its number."""
        number, self.next = self.next, self.next + 1
        self.sent[number] = events
        self._write({"n": number, "events": events})
        return number

    def acknowledge(self, number: int, answers: Sequence[Answer]) -> None:
        """Note an answer; when this returns it counts, and the bus may be held to it."""
        is_again = number not in self.sent
        self._write({"again" if is_again else "ack": number, "answers": answers})
        os.fsync(self._file)
        if not is_again:
            self.acknowledged[number] = self.sent.pop(number)

    def refuse(self, number: int, reason: str) -> None:
        """Note an answer that is a fault of the server's."""
        self._write({"refused": number, "reason": reason})
        self.sent.pop(number, None)

    def give_up(self, number: int) -> None:
        """Nobody knows what became of it, and sending it again could record it twice."""
        del self.sent[number]

    def close(self) -> None:
        os.close(self._file)

    def _write(self, value: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(value).encode() + b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; one that was cut off by a death says nothing."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
