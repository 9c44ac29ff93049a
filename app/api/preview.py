"""What publishing would lead to, without doing it: a dry run of the handlers that match."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from app.access.publishing import in_own_name
from app.api.answers.events import Preview
from app.api.content import BINARY_HEADERS, PUBLISHED
from app.api.events import ENVELOPE_BYTES
from app.api.parameters import refuse_coding
from app.api.shapes import answer, record
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import live_handler_settings, runtime
from eventbus import Event
from eventbus.cloudevents import decode
from eventbus.dryrun import DryRunResult, Foreseen
from eventbus.errors import EventValidationError, FieldError
from handlers.dryrun import dry_run

MOST_GIVEN = 100
# A row may hold an error of a quarter of a megabyte, which is in the event, too.
_MOST_CHARS = 2_000

blueprint = Blueprint("preview", __name__)


@blueprint.post("/events/preview")
@operation(
    "previewEvents",
    "Events",
    body=PUBLISHED,
    request_headers=BINARY_HEADERS,
    answers={200: Preview},
)
def preview() -> Response:
    """The subscriptions that match, the effects and the further events of what is sent.

    The body is that of ``POST /api/events``, of at most 100 events. Nothing is recorded,
    delivered, scheduled or written.
    """
    refuse_coding()
    settings = runtime().settings
    body = request.get_data(cache=False)
    if len(body) > MOST_GIVEN * (settings.max_event_bytes + ENVELOPE_BYTES):
        raise ProblemError(413, "Content Too Large", f"at most {MOST_GIVEN} events are tried out")
    events, is_batch = decode(
        request.headers, body, source=settings.source, max_bytes=settings.max_event_bytes
    )
    if len(events) > MOST_GIVEN:
        detail = f"must have at most {MOST_GIVEN} events, not {len(events)}"
        raise ProblemError(
            400, "Too many events", f"the body {detail}", [{"pointer": "", "detail": detail}]
        )
    return answer(described(foresee(in_own_name(events, is_batch=is_batch))))


def foresee(events: list[Event]) -> DryRunResult:
    """A dry run on the running bus. Raises DryRunError when too many are under way, and
    EventValidationError for what would be refused."""
    parts = runtime()
    settings = parts.settings
    errors: list[FieldError] = []
    for index, event in enumerate(events):
        try:
            parts.catalogue.would_refuse(event)
        except EventValidationError as error:
            errors += error.errors if len(events) == 1 else error.under(f"/{index}").errors
    if errors:
        raise EventValidationError(errors)
    return dry_run(parts.bus, live_handler_settings(settings), settings.source).run(events)


def described(result: DryRunResult) -> dict[str, Any]:
    """A dry run as the API tells it."""
    return {
        "sequence": result.sequence,
        "duration_ms": round(result.duration_ms, 3),
        "bound": result.bound,
        "given": [_event(foreseen) for foreseen in result.given],
        "subscriptions": [
            record(trial) for foreseen in result.given for trial in foreseen.trials
        ],
        "effects": [
            {"kind": "state", **record(change), "before": _short(change.before),
             "after": _short(change.after)}
            for change in result.changes
        ] + [record(intent) for intent in result.intents],
        "events": [_event(foreseen) for foreseen in result.further],
    }  # fmt: skip


def _event(foreseen: Foreseen) -> dict[str, Any]:
    return {
        **foreseen.event.to_dict(),
        "level": foreseen.level,
        "by": foreseen.by,
        "at": foreseen.at,
        "duplicate": foreseen.is_duplicate,
        "followed": foreseen.is_followed,
        "subscriptions": [record(trial) for trial in foreseen.trials],
    }


def _short(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        name: f"{value[:_MOST_CHARS]}…"
        if isinstance(value, str) and len(value) > _MOST_CHARS
        else value
        for name, value in row.items()
    }
