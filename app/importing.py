"""Events from NDJSON, a line each: published in batches, whatever is wrong said by its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from app.runtime import Runtime
from app.transfers import Transfer
from eventbus import Event
from eventbus.actor import signed
from eventbus.cloudevents import decode
from eventbus.errors import EventBusError, EventValidationError

MAX_IMPORT_BYTES = 1024 * 1024 * 1024
"""One import; more goes in several, and what is in two of them is recorded once."""
IMPORTED = "bus.events.imported"
MOST_ERRORS = 100
"""Errors that are told; the rest is counted."""

_SOURCE = "/eventbus/import"
_BATCH = 500
_BATCH_CHARS = 4 * 1024 * 1024
_READ_BYTES = 65_536
_COMMIT_TIMEOUT_S = 30.0
# The envelope around a payload: fourteen attributes of at most 1024 characters.
_ENVELOPE_BYTES = 65_536
_LINE_TYPE = {"content-type": "application/json"}


class Readable(Protocol):
    """Where the lines come from: a request's body, an uploaded file."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Imported:
    """What became of the lines.

    ``duplicates`` had been recorded before, under the same source and id; ``refused`` have
    something wrong with them, told in ``errors`` for the first ``MOST_ERRORS``. ``error`` is why
    it ended before the last line.
    """

    lines: int = 0
    recorded: int = 0
    duplicates: int = 0
    refused: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    error: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)


def import_events(
    parts: Runtime, stream: Readable, transfer: Transfer, by: str, name: str, size: int | None
) -> Imported:
    """Publish the events of all lines and record who did it; blocks until all are durable.

    ``name`` tells in the record what was imported, ``size`` how many bytes it has, when that is
    known. A line is as the body of ``POST /api/events`` with one event; empty ones count for
    nothing.
    """
    found = Imported()
    parts.transfers.begin(transfer)
    batch: list[tuple[int, Event]] = []
    chars = read = 0
    max_bytes = parts.settings.max_event_bytes
    try:
        for number, line in _lines(stream, max_bytes + _ENVELOPE_BYTES):
            read += len(line or b"") + 1
            found.lines += 1
            event = _event(number, line, parts, found)
            if event is not None:
                batch.append((number, event))
                chars += len(event.data_json)
            if len(batch) >= _BATCH or chars >= _BATCH_CHARS:
                _record(parts, batch, found)
                batch, chars = [], 0
                transfer.share = read / size if size else 0.0
            transfer.count = found.lines
            if transfer.is_stopping:
                found.error = f"stopped after line {number}"
                break
        _record(parts, batch, found)
    except (EventBusError, OSError, ValueError) as error:
        found.error = f"{error}; what was recorded before stays, and counts as duplicate next time"
    finally:
        if transfer.is_stopping:
            parts.transfers.end(transfer, "stopped")
        elif found.error is not None:
            parts.transfers.end(transfer, "failed", found.error)
        else:
            parts.transfers.end(transfer, "finished")
    if found.lines:
        _tell(parts, found, by, name)
    return found


def _event(number: int, line: bytes | None, parts: Runtime, found: Imported) -> Event | None:
    max_bytes = parts.settings.max_event_bytes
    if line is not None and line.lstrip().startswith(b"["):
        _refuse(found, number, "", "must be one event, not an array of them")
        return None
    if line is None:
        _refuse(found, number, "", f"is longer than an event with {max_bytes} bytes of data can be")
        return None
    try:
        events, _ = decode(_LINE_TYPE, line, source=parts.settings.source, max_bytes=max_bytes)
        parts.catalogue.would_refuse(events[0])
    except EventValidationError as error:
        first, rest = error.errors[0], len(error.errors) - 1
        detail = first.detail
        if first.pointer == "/dataremoved":
            detail = "says that retention had removed the payload: there is nothing to publish"
        _refuse(found, number, first.pointer, detail + (f" (and {rest} more)" if rest else ""))
        return None
    return events[0]


def _refuse(found: Imported, number: int, pointer: str, detail: str) -> None:
    found.refused += 1
    if len(found.errors) < MOST_ERRORS:
        found.errors.append({"line": number, "pointer": pointer, "detail": detail})


def _record(parts: Runtime, batch: list[tuple[int, Event]], found: Imported) -> None:
    if not batch:
        return
    receipt = parts.bus.publish_many([event for _, event in batch])
    receipt.wait(_COMMIT_TIMEOUT_S)
    for event, is_duplicate in zip(receipt.events, receipt.duplicates, strict=True):
        if is_duplicate:
            found.duplicates += 1
            continue
        found.recorded += 1
        if event.sequence is not None:  # one that is scheduled has none yet
            found.first_sequence = found.first_sequence or event.sequence
            found.last_sequence = event.sequence


def _tell(parts: Runtime, found: Imported, by: str, name: str) -> None:
    data = {**signed(by), "name": name, **asdict(found)}
    data["errors"] = data["errors"][:10]
    try:
        parts.bus.publish_event(
            Event.create(IMPORTED, data, source=_SOURCE, subject="import")
        ).wait(_COMMIT_TIMEOUT_S)
    except EventBusError as error:
        found.error = found.error or f"who imported could not be recorded: {error}"


def _lines(stream: Readable, most_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines that are not empty, with their numbers from 1; None for one that is too long."""
    number, rest, is_too_long = 1, b"", False
    while data := stream.read(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if is_too_long or len(line) > most_bytes:
                yield number, None
            elif line.strip():
                yield number, line
            number, is_too_long = number + 1, False
        if len(rest) > most_bytes:
            rest, is_too_long = b"", True
    if is_too_long or len(rest) > most_bytes:
        yield number, None
    elif rest.strip():
        yield number, rest
