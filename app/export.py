"""The whole of a filtered history as a file: read page by page, written as it is read."""

from __future__ import annotations

import csv
import errno
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from flask import Response

from app.transfers import Transfer, Transfers
from eventbus import Event
from eventbus.log import EventLog, EventQuery
from eventbus.log.search import Index, histogram
from eventbus.timestamps import format_time

Format = Literal["ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv")

_CONTENT_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
# Rows that are in memory at once: fewer while payloads are large.
_FIRST_PAGE, _PAGE = 20, 1_000
_PAGE_CHARS = 8 * 1024 * 1024
_COLUMNS = (
    "sequence", "time", "type", "subject", "id", "source", "correlationid", "causationid", "data",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula, and may run it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def answer(
    log: EventLog, query: EventQuery, format: Format, transfers: Transfers, transfer: Transfer
) -> Response:
    """The file as a streamed answer; ``query`` bounds it, without a cursor.

    What is recorded meanwhile is not in it. Stopped, the answer breaks off: a file that is not
    whole must not look as if it were.
    """
    name = f"events-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{format}"
    return Response(
        _written(log, query, format, transfers, transfer),
        content_type=_CONTENT_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def expected_count(log: EventLog, index: Index, query: EventQuery) -> int | None:
    """How many events the query has, when the counts tell it exactly; 0 is not told apart."""
    if query.after is not None or query.before is not None:
        return None
    found = histogram(log, index, query, 1, lambda type: False)
    if found is None or found.is_sampled or not found.is_exact or found.uncounted:
        return None
    return found.total


def _written(
    log: EventLog, query: EventQuery, format: Format, transfers: Transfers, transfer: Transfer
) -> Iterator[bytes]:
    transfers.begin(transfer)
    try:
        if format == "csv":
            yield _csv_lines([_COLUMNS])
        for events in _pages(log, query, transfer):
            if format == "csv":
                yield _csv_lines([_row(event) for event in events])
            else:
                yield "".join(f"{event.to_json()}\n" for event in events).encode()
    except GeneratorExit:
        transfers.end(transfer, "stopped", "the download was broken off")
        raise
    except _Stopped:
        transfers.end(transfer, "stopped")
        # The server then drops the connection, so that the client sees that it is not all.
        raise OSError(errno.ECONNRESET, "the export was stopped") from None
    except Exception as error:
        transfers.end(transfer, "failed", str(error))
        raise
    finally:
        transfers.end(transfer, "finished")


def _pages(log: EventLog, query: EventQuery, transfer: Transfer) -> Iterator[Sequence[Event]]:
    last = log.last_sequence
    before = last + 1 if query.before is None else min(query.before, last + 1)
    query = replace(query, before=before, limit=_FIRST_PAGE, cursor=None)
    while True:
        began = time.monotonic()
        page = log.query(query)
        if transfer.is_stopping:
            raise _Stopped
        if page.events:
            transfer.count += len(page.events)
            transfer.share = _share(page.events[-1].sequence or 0, last, query.order)
            yield page.events
        if page.next is None:
            return
        limit = query.limit
        if page.events:
            chars = sum(len(event.data_json) for event in page.events) // len(page.events)
            limit = max(1, min(_PAGE, _PAGE_CHARS // max(1, chars)))
        query = replace(query, cursor=page.next, limit=limit)
        # As long as it took: others are not to notice that somebody takes everything with them.
        time.sleep(min(time.monotonic() - began, 0.05))


def _share(position: int, last: int, order: str) -> float:
    done = position / max(1, last)
    return done if order == "asc" else 1 - done


def _row(event: Event) -> tuple[str, ...]:
    return (
        str(event.sequence), format_time(event.time), event.type, event.subject, event.id,
        event.source, event.correlationid, event.causationid or "", event.data_json,
    )  # fmt: skip


def _csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)  # RFC 4180, with CRLF
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return text.getvalue().encode()


class _Stopped(Exception):
    """Somebody has asked the export to stop."""
