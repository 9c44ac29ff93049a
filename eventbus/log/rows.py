"""From rows of the log's tables to the values that readers get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from eventbus import lens
from eventbus.event import Event
from eventbus.log.values import Attempt, ChainLink, Delivery, Intervention
from eventbus.timestamps import from_microseconds

MOST_CHARS = 4 * 1024 * 1024
"""How much payload one reading takes into memory before it stops short of its limit of rows."""
STREAMED = {"stream_results": True, "max_row_buffer": 32}
"""Options of a statement that may stop so: of a server not all of its rows come at once."""


def event_from_row(row: Row[Any], is_recorded: bool = True) -> Event:
    """An Event from a row of ``events``, or of ``scheduled``, where it has no sequence yet.

    As it is to be shown in this thread (``eventbus.lens``).
    """
    return _event(row, lens.text(row.type, row.data), is_recorded)


def whole_event_from_row(row: Row[Any], is_recorded: bool = True) -> Event:
    """The same as it was recorded, whoever reads: for handlers, and for writing."""
    return _event(row, row.data, is_recorded)


def _event(row: Row[Any], data_json: str, is_recorded: bool) -> Event:
    return Event(
        row.id,
        row.source,
        row.type,
        row.subject,
        from_microseconds(row.time_us),
        data_json,
        sequence=row.sequence if is_recorded else None,
        correlationid=row.correlationid,
        causationid=row.causationid,
        traceparent=row.traceparent,
        dataschema=row.dataschema,
        depth=row.depth,
        extensions_json=row.extensions,
    )


def delivery_from_row(
    row: Row[Any],
    attempts: list[Attempt],
    round: int,
    interventions: list[Intervention],
    chain: list[ChainLink] | None = None,
) -> Delivery:
    """A Delivery from a row of ``deliveries`` joined with its event and its subscription.

    What a handler raised may quote the payload: of events of which something is hidden in this
    thread, only the error's class is told.
    """
    is_hidden = lens.hides(row.event_type)
    if is_hidden:
        attempts = [replace(each, error_message=None, traceback=None) for each in attempts]
    return Delivery(
        sequence=row.sequence,
        event_id=row.event_id,
        event_type=row.event_type,
        subject=row.subject,
        subscription=row.subscription_name or f"(removed {row.subscription})",
        state=row.state,
        attempt=row.attempt,
        next_attempt_at=None if row.due_us is None else from_microseconds(row.due_us),
        finished_at=None if row.finished_us is None else from_microseconds(row.finished_us),
        duration_ms=None if row.duration_us is None else row.duration_us / 1_000,
        error_class=row.error_class,
        error_message=None if is_hidden else row.error_message,
        attempts=attempts,
        round=round,
        interventions=interventions,
        is_removed=row.subscription_name is None or row.removed_us is not None,
        chain=chain,
    )


def attempt_from_row(row: Row[Any], number: int, round: int) -> Attempt:
    """An Attempt from a row of ``attempts``, as it counts in its round."""
    return Attempt(
        number=number,
        started_at=from_microseconds(row.started_us),
        duration_ms=row.duration_us / 1_000,
        outcome=row.outcome,
        error_class=row.error_class,
        error_message=row.error_message,
        traceback=row.traceback,
        round=round,
    )
