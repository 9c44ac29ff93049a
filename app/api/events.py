"""Publishing over HTTP, and reading the log: history, one event, its deliveries, its chain."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request

from app.access.publishing import check_types, in_own_name
from app.api import event_query, trace
from app.api.answers import events as shapes
from app.api.answers.events import CloudEvent, EventDeliveries, EventReceipt, Trace
from app.api.common import CURSOR, EVENT_ID, LIMIT, NO_EVENT, SOURCE
from app.api.content import BINARY_HEADERS, PUBLISHED, prefers
from app.api.parameters import refuse_coding
from app.api.shapes import answer, event_list, raw, with_member
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import Media, operation
from app.problems import ProblemError
from app.runtime import runtime
from app.tracing import carried
from eventbus import BatchReceipt, Event, EventBus, Receipt
from eventbus.cloudevents import BATCH_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE, decode
from eventbus.errors import BusClosedError, ReceiptTimeoutError
from eventbus.lens import hides
from eventbus.log import EventPage
from eventbus.receipt import Until, open_ones
from eventbus.scheduled import ScheduledEvent

MAX_WAIT_S = 30.0
DEFAULT_WAIT_S = 10.0
# A commit takes milliseconds; after this the disk is gone, and so must be the client's wait.
COMMIT_TIMEOUT_S = 30.0
# The envelope around the payload of one event: fourteen attributes of at most 1024 characters.
ENVELOPE_BYTES = 65_536

_TAG = "Events"
_WAIT = Field(
    "wait", kinds.choice(("handled", "attempted")),
    "Answer when the handlers are done: with all retries, or with the first attempt.",
)  # fmt: skip
_UNTIL: dict[str, Until] = {"handled": "settled", "attempted": "attempted"}
_TIMEOUT = Field(
    "timeout", kinds.number(0, MAX_WAIT_S, "seconds"), "So many seconds of waiting at most.",
    default=DEFAULT_WAIT_S,
)  # fmt: skip
_RECEIPT = Media({"application/json": EventReceipt | shapes.BatchReceipt})
_EVENT = Media({"application/json": CloudEvent, STRUCTURED_CONTENT_TYPE: CloudEvent})
_PAGE = Media({"application/json": shapes.EventPage, BATCH_CONTENT_TYPE: list[CloudEvent]})

blueprint = Blueprint("events", __name__)


@blueprint.post("/events")
@operation(
    "publishEvents", _TAG, query=(_WAIT, _TIMEOUT), body=PUBLISHED,
    request_headers=BINARY_HEADERS, answers={200: _RECEIPT, 202: _RECEIPT},
    headers={"Location": "The event, when it is one and is recorded."},
)  # fmt: skip
def publish() -> Response:
    """Record one event or a batch; 202, or 200 when all were duplicates.

    A JSON object or array, or CloudEvents in structured, binary or batched mode. One with
    ``delay`` or ``at`` is scheduled: its answer has no sequence yet, but ``at``. With
    ``wait=handled`` the answer comes when every delivery is settled (succeeded, dead, discarded
    or cancelled), with ``wait=attempted`` when each was tried once, or after ``timeout`` seconds
    (10, at most 30). Each event then has ``deliveries``, ``handled`` (all are settled) and
    ``timed_out`` (what was waited for had not come).
    """
    wait = _wait()
    refuse_coding()
    parts = runtime()
    settings = parts.settings
    body = request.get_data(cache=False)
    if len(body) > settings.max_event_bytes + ENVELOPE_BYTES and not body.lstrip().startswith(b"["):
        detail = f"one event has at most {settings.max_event_bytes} bytes of data; sent {len(body)}"
        raise ProblemError(413, "Content Too Large", detail, [{"pointer": "", "detail": detail}])
    events, is_batch = decode(
        request.headers, body, source=settings.source, max_bytes=settings.max_event_bytes
    )
    check_types(events)
    events = carried(in_own_name(events, is_batch=is_batch), parts.bus)
    receipt = parts.bus.publish_many(events) if is_batch else parts.bus.publish_event(events[0])
    receipt.wait(COMMIT_TIMEOUT_S)
    answers = _answers(receipt)
    if wait is not None:
        _add_deliveries(parts.bus, answers, receipt, *wait)
    status = 200 if all(entry["duplicate"] for entry in answers) else 202
    if is_batch:
        return answer({"events": answers}, status)
    response = answer(answers[0], status)
    if answers[0]["sequence"] is not None:
        response.headers["Location"] = f"/api/events/{quote(answers[0]['id'], safe='')}"
    return response


@blueprint.get("/events")
@operation(
    "listEvents", _TAG, query=(*event_query.FILTER, LIMIT, CURSOR), answers={200: _PAGE},
    headers={"Link": "The next page, of a batch."},
)  # fmt: skip
def history() -> Response:
    """One page of the log by pattern, subject, correlation, position, time and text."""
    query = event_query.from_request(order="desc", limit=LIMIT.read(), cursor=CURSOR.read())
    page = runtime().bus.log.query(query)
    if prefers(BATCH_CONTENT_TYPE):
        return _batch(page)
    text = f'{{"events":{event_list(page.events)},"next":{json.dumps(page.next)}}}'
    if page.previous is not None:
        text = with_member(text, "previous", json.dumps(page.previous))
    return raw(text)


@blueprint.get("/events/<path:event_id>")
@operation(
    "getEvent", _TAG, path=(EVENT_ID,), query=(SOURCE,), answers={200: _EVENT, 304: None},
    problems=NO_EVENT,
    headers={"ETag": "Changes when retention removes the payload; masked, it is another."},
)  # fmt: skip
def event(event_id: str) -> Response:
    """One event; ``source`` chooses where several producers used the same id.

    ``Accept: application/cloudevents+json`` gets it as a structured CloudEvent: the same text.
    """
    found = _found(event_id)
    response = raw(found.to_json())
    if prefers(STRUCTURED_CONTENT_TYPE):
        response.content_type = STRUCTURED_CONTENT_TYPE
    response.vary.add("Accept")
    state = "-removed" if found.is_stripped else "-masked" if hides(found.type) else ""
    response.set_etag(f"{found.sequence}{state}")
    return response.make_conditional(request)


@blueprint.get("/events/<path:event_id>/deliveries")
@operation(
    "getEventDeliveries", _TAG, path=(EVENT_ID,), query=(SOURCE,),
    answers={200: EventDeliveries}, problems=NO_EVENT,
)  # fmt: skip
def deliveries(event_id: str) -> Response:
    """What became of the event at each durable subscription, with every attempt."""
    found = _found(event_id)
    return answer({"deliveries": runtime().bus.log.deliveries(found.sequence or 0)})


@blueprint.get("/events/<path:event_id>/trace")
@operation(
    "getEventTrace", _TAG, path=(EVENT_ID,), query=(SOURCE,), answers={200: Trace},
    problems=NO_EVENT,
)  # fmt: skip
def chain(event_id: str) -> Response:
    """The causation tree that the event is part of."""
    _found(event_id)
    found = runtime().bus.log.trace(event_id)
    if found is None:  # retention has removed it just now
        raise ProblemError(404, "Not Found", f"there is no event with the id {event_id[:100]!r}")
    return answer(
        {
            "id": event_id,
            "count": len(found.events),
            "truncated": found.truncated,
            "tree": trace.tree(found.events),
        }
    )


def _batch(page: EventPage) -> Response:
    """A page in the batched mode of CloudEvents, whose next one is a link (RFC 8288)."""
    response = raw(event_list(page.events))
    response.content_type = BATCH_CONTENT_TYPE
    if page.next is not None:
        query = urlencode({**request.args, "cursor": page.next})
        response.headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return response


def _wait() -> tuple[Until, float] | None:
    """What the client wants to wait for, and for how many seconds; None when for nothing."""
    if not request.environ["QUERY_STRING"]:
        return None
    wanted, timeout_s = _WAIT.read(), _TIMEOUT.read()
    return None if wanted is None else (_UNTIL[wanted], timeout_s)


def _answers(receipt: Receipt | BatchReceipt) -> list[dict[str, Any]]:
    if isinstance(receipt, BatchReceipt):
        marked = zip(receipt.events, receipt.duplicates, strict=True)
    else:
        marked = zip([receipt.event], [receipt.duplicate], strict=True)
    return [
        {"id": event.id, "sequence": event.sequence, "duplicate": duplicate, **_due(event)}
        for event, duplicate in marked
    ]


def _due(event: Event) -> dict[str, Any]:
    return {"at": event.at} if isinstance(event, ScheduledEvent) else {}


def _add_deliveries(
    bus: EventBus, answers: list[dict[str, Any]], receipt: Receipt | BatchReceipt, until: Until,
    wait_s: float,
) -> None:  # fmt: skip
    """What is recorded is acknowledged, also when the wait ends with the bus."""
    is_late = False
    try:
        receipt.deliveries(wait_s, until=until)
    except ReceiptTimeoutError:
        is_late = True
    except BusClosedError:
        pass
    for entry in answers:
        if entry["sequence"] is None:  # scheduled: nobody has it yet
            entry.update(handled=False, timed_out=False, deliveries=[])
            continue
        deliveries = bus.log.deliveries(entry["sequence"])
        served = bus.served()
        missing = [d for d in open_ones(deliveries, until) if d.subscription in served]
        entry["handled"] = not open_ones(deliveries, "settled")
        entry["timed_out"] = is_late and bool(missing)
        entry["deliveries"] = deliveries


def _found(event_id: str) -> Event:
    found = runtime().bus.log.get(event_id, SOURCE.read())
    if found is None:
        raise ProblemError(404, "Not Found", f"there is no event with the id {event_id[:100]!r}")
    return found
