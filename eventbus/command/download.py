"""The lines of an export as they come, over as many connections as it takes."""

from __future__ import annotations

import csv
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventbus.client.connection import described
from eventbus.command.errors import CommandError, ServerRefusedError, UnreachableError
from eventbus.command.server import Server

_READ_BYTES = 256 * 1024
_MOST_ATTEMPTS = 6  # in a row without anything new
_WAIT_S = 0.5
_MOST_WAIT_S = 10.0
_PASSING = (429, 502, 503, 504)


class Download:
    """What ``query`` asks ``GET /api/events/export`` for, which must say ``format``, ``before``.

    ``count`` are the events so far. Only whole lines are given, so that what breaks off can be
    taken up behind the last one.
    """

    def __init__(self, server: Server, query: dict[str, Any]) -> None:
        self.query = query
        self.count = 0
        self._server = server
        self._is_csv = query["format"] == "csv"
        self._last_line = b""
        self._begin = int(query.get("after") or 0)
        self._end = int(query["before"]) - 1
        self._has_head = False

    def skip(self, part: Path) -> int:
        """Go on behind the whole lines of a file, which is cut there; gives how many they are.

        Raises CommandError.
        """
        try:
            with part.open("r+b") as file:
                size = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    size += len(line)
                    if self._is_csv and not self._has_head:
                        self._has_head = True
                        continue
                    self.count += 1
                    self._last_line = line
                file.truncate(size)
            self._sequence()
        except OSError as error:
            raise CommandError(f"{part} cannot be gone on with: {error}") from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise CommandError(f"{part} is no export that broke off: begin again") from None
        return self.count

    def blocks(self) -> Iterator[bytes]:
        """Blocks of whole lines up to the end. Raises CommandError when that is not reached."""
        failures = 0
        while True:
            before = self.count
            wait_s = 0.0
            problem: CommandError
            try:
                yield from self._once()
                return
            except UnreachableError as error:
                problem = error
            except ServerRefusedError as error:
                problem, wait_s = error, error.retry_after_s or 0.0
                if error.status not in _PASSING:
                    raise
            except (OSError, http.client.HTTPException) as error:
                problem = UnreachableError(
                    f"the export broke off after {self.count:,} events: {described(error)}"
                )
            failures = 1 if self.count > before else failures + 1
            has_begun = self.count > 0 or isinstance(problem, ServerRefusedError)
            if failures >= _MOST_ATTEMPTS or not has_begun:
                raise problem
            time.sleep(min(_MOST_WAIT_S, max(wait_s, _WAIT_S * 2 ** (failures - 1))))

    def progress(self) -> tuple[float | None, str]:
        """How much of the log is done, and what there is to tell."""
        done = self._sequence() - self._begin
        whole = self._end - self._begin
        return (done / whole if whole > 0 else None), f"{self.count:,} events"

    def _once(self) -> Iterator[bytes]:
        query = dict(self.query)
        if self._last_line:
            query["after"] = self._sequence()
        response = self._server.open("/api/events/export", **query)
        if response.length is None and not response.chunked:
            raise CommandError("the server does not tell where its answer ends")
        rest = b""
        is_head = self._is_csv
        while data := response.read1(_READ_BYTES):
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if not newline:
                continue
            block = whole + newline
            if is_head:
                is_head = False
                head, _, block = block.partition(b"\n")
                if not self._has_head:
                    self._has_head = True
                    yield head + b"\n"
            if block:
                self.count += block.count(b"\n")
                self._last_line = block[block.rfind(b"\n", 0, -1) + 1 :]
                yield block
        if rest or not response.isclosed():
            raise http.client.IncompleteRead(rest)

    def _sequence(self) -> int:
        """The sequence of the last whole line."""
        if not self._last_line:
            return self._begin
        text = self._last_line.decode()
        if self._is_csv:
            cell = next(csv.reader([text]))[0]
            return int(cell) if cell.isdecimal() else self._begin
        return int(json.loads(text)["sequence"])
