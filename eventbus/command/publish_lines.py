"""Events from a pipe, a line each: sent in batches while they come, by the client of the bus."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from eventbus.client.receipt import RemoteReceipt
from eventbus.client.remote import RemoteEventBus
from eventbus.command.context import Context
from eventbus.command.errors import FAILED, OK, UNREACHABLE
from eventbus.command.notes import client_notes
from eventbus.command.progress import Progress
from eventbus.errors import (
    EventDroppedError,
    EventRefusedError,
    EventValidationError,
    JsonTextError,
)
from eventbus.json_reader import read_json
from eventbus.scheduled import read_event

# What waits is bounded by waiting, not by dropping: the pipe stands still meanwhile.
_MOST_WAITING = 2_000
_MOST_CHARS = 16 * 1024 * 1024
_LINGER_S = 0.05
_CLOSE_S = 2.0
_MOST_EVENT_BYTES = 64 * 1024 * 1024  # the bus has a bound of its own, and says so


class _Lines:
    """The receipts of lines that are on their way, in order, and what became of the others."""

    def __init__(self, context: Context, progress: Progress, timeout_s: float) -> None:
        self.recorded = self.wrong = self.lost = 0
        self._waiting: deque[tuple[int, RemoteReceipt]] = deque()
        self._chars = 0
        self._progress = progress
        self._timeout_s = timeout_s
        self._context = context

    def add(self, number: int, receipt: RemoteReceipt) -> None:
        self._waiting.append((number, receipt))
        self._chars += receipt.size
        while self._waiting and self._waiting[0][1].is_recorded:
            self._settle(None)
        while len(self._waiting) > _MOST_WAITING or self._chars > _MOST_CHARS:
            self._settle(None)
        self._progress.show(None, f"{self.recorded:,} recorded")

    def refuse(self, number: int, detail: str) -> None:
        self.wrong += 1
        self._progress.note(f"line {number}: {detail}")

    def finish(self) -> None:
        while self._waiting:
            self._settle(self._timeout_s)

    def _settle(self, timeout_s: float | None) -> None:
        number, receipt = self._waiting[0]
        try:
            event = receipt.wait(timeout_s)
        except EventRefusedError as error:
            self.refuse(number, str(error))
        except EventDroppedError:
            self.lost += 1
        else:
            self.recorded += 1
            if self._context.as_json:
                told: dict[str, Any] = {"line": number, "id": event.id, "sequence": event.sequence}
                self._context.screen.json(told)
        # Not before: who is interrupted, or does not want to wait longer, counts it as lost.
        self._waiting.popleft()
        self._chars -= receipt.size

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)


def publish_lines(context: Context, lines: Iterable[bytes], source: str) -> int:
    """Publish each line; gives the exit code.

    A bus that goes away is waited for, for as long as it takes while lines come, and for the
    command's time-out for the last ones.
    """
    server, screen = context.server, context.screen
    server.get("/api/stats")  # whoever mistypes the address learns it now
    with client_notes(screen, skip="refused event"), Progress(screen, "publish") as progress:
        bus = RemoteEventBus(
            server.url, source=source, linger_s=_LINGER_S, max_pending=4 * _MOST_WAITING,
            max_pending_bytes=8 * _MOST_CHARS, timeout_s=server.timeout_s,
            token=server.token or "",
        )  # fmt: skip
        sent = _Lines(context, progress, server.timeout_s)
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    _publish(bus, sent, number, line)
            sent.finish()
        except TimeoutError:
            pass
        finally:
            bus.close(_CLOSE_S)
    lost = sent.lost + sent.waiting_count
    told = [f"{sent.recorded:,} recorded"]
    if sent.wrong:
        told.append(f"{sent.wrong:,} refused")
    if lost:
        told.append(f"{lost:,} not confirmed by {server.url}")
    screen.note(", ".join(told))
    return UNREACHABLE if lost else FAILED if sent.wrong else OK


def _publish(bus: RemoteEventBus, sent: _Lines, number: int, line: bytes) -> None:
    try:
        event = read_event(read_json(line), source=bus.source, max_bytes=_MOST_EVENT_BYTES)
    except (EventValidationError, JsonTextError) as error:
        sent.refuse(number, str(error))
    else:
        sent.add(number, bus.publish_event(event))
