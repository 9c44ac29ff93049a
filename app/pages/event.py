"""The page of one event: payload, envelope, what handlers did with it, what it caused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, render_template, request

from app.pages.chain import Chain, chain_of, deliveries_of
from app.pages.frame import render
from app.pages.payload_tree import find, payload_tree
from app.pages.takeaway import as_curl, as_python
from app.pages.takeaway_test import as_test, file_name
from app.problems import ProblemError
from app.runtime import handler_settings, runtime
from eventbus import Event
from eventbus.lens import hides
from eventbus.log import EventLog, EventQuery

# Longer texts are not shown but taken away as files: nobody reads them, and browsers are slow.
MOST_SHOWN_CHARS = 16_000
MOST_TAKEN = 100_000
_PAGE = 200
# How soon a page asks what has become of its chain, in seconds.
_BUSY_S, _YOUNG_S, _QUIET_S = 1, 2, 10
_YOUNG = timedelta(minutes=1)

blueprint = Blueprint("event_page", __name__)


@blueprint.get("/events/<path:event_id>")
def event(event_id: str) -> str:
    """By id; ``?source=`` chooses where several producers used the same one."""
    found = runtime().bus.log.get(event_id, request.args.get("source"))
    if found is None:
        raise ProblemError(404, "No such event", f"the log has no event with the id {event_id!r}")
    return _page(found)


@blueprint.get("/events/at/<int:sequence>")
def event_at(sequence: int) -> str:
    """By its place in the log."""
    return _page(_at(sequence))


@blueprint.get("/events/at/<int:sequence>/progress")
def progress(sequence: int) -> Response:
    """The chain and the deliveries as they are now; 204 when nothing at all has happened since."""
    log = runtime().bus.log
    if request.args.get("version") == str(log.version):
        return Response(status=204)
    return Response(render_template("event/_progress.html", **_progress(_at(sequence))))


@blueprint.get("/events/at/<int:sequence>/payload")
def payload(sequence: int) -> str:
    """A part of the payload: what is at the JSON Pointer ``pointer``, from child ``from`` on."""
    pointer, begin = request.args.get("pointer", ""), request.args.get("from", "0")
    try:
        value, path = find(_at(sequence).data, pointer)
        start = int(begin) if begin.isascii() and begin.isdecimal() and len(begin) < 10 else 0
    except LookupError:
        raise ProblemError(404, "No such value", f"nothing is at {pointer[:200]!r}") from None
    if isinstance(value, str):
        return render_template("event/_text.html", text=value)
    branch = payload_tree(value, pointer, path, start)
    return render_template("event/_branches.html", branch=branch, begin=start, sequence=sequence)


@blueprint.get("/events/at/<int:sequence>/raw")
def raw(sequence: int) -> str:
    """The payload as it was recorded, for the page."""
    return render_template("event/_raw.html", event=_at(sequence))


@blueprint.get("/events/at/<int:sequence>/test")
def test(sequence: int) -> str:
    """The event as a pytest file, for the page: it takes reading what was before and after."""
    event, parts = _at(sequence), runtime()
    text = as_test(parts.bus, event, handler_settings(parts.settings))
    return render_template("event/_test.html", test=text if len(text) <= MOST_SHOWN_CHARS else None)


@blueprint.get("/events/at/<int:sequence>/take/<name>")
def take(sequence: int, name: str) -> Response:
    """The event as a file: ``event.sh``, ``event.py``, ``chain.ndjson``, ``test.py``."""
    event = _at(sequence)
    parts = runtime()
    if name == "chain.ndjson":
        lines = _ndjson(parts.bus.log, event.correlationid)
        return _file(lines, f"chain-{sequence}.ndjson", "application/x-ndjson")
    if not event.is_stripped:
        base = request.host_url.rstrip("/")
        if name == "event.sh":
            text = f"#!/bin/sh\n{as_curl(base, _again(event))}\n"
            return _file(text, f"event-{sequence}.sh")
        if name == "event.py":
            return _file(as_python(base, _again(event)), f"event-{sequence}.py")
        if name == "test.py":
            text = as_test(parts.bus, event, handler_settings(parts.settings))
            return _file(text, file_name(event))
    raise ProblemError(404, "Not Found", f"event #{sequence} cannot be taken as {name[:50]!r}")


def _at(sequence: int) -> Event:
    log = runtime().bus.log
    found = log.get_by_sequence(sequence) if sequence < 2**63 else None
    if found is None:
        if 0 < sequence <= log.removed_upto:
            detail = f"event #{sequence} was removed by retention"
        else:
            detail = f"the log has no event #{sequence}; its newest is #{log.last_sequence}"
        raise ProblemError(404, "No such event", detail)
    return found


def _page(event: Event) -> str:
    parts = runtime()
    base = request.host_url.rstrip("/")
    is_short = len(event.data_json or "") <= MOST_SHOWN_CHARS
    return render(
        "event.html",
        "events",
        **_progress(event),
        tree=None if event.is_stripped else payload_tree(event.data),
        is_short=is_short,
        is_hidden=hides(event.type),
        curl=as_curl(base, _again(event)) if is_short else None,
        python=as_python(base, _again(event)) if is_short else None,
        test_name=file_name(event),
        ndjson_url=f"{base}/events/at/{event.sequence}/take/chain.ndjson",
        evaluation=parts.handlers.evaluations.get(event.subject),
    )


def _progress(event: Event) -> dict[str, Any]:
    bus = runtime().bus
    version = bus.log.version  # before looking: what comes meanwhile is looked at again
    chain = chain_of(bus, event)
    return {
        "event": event,
        "version": version,
        "chain": chain,
        "deliveries": deliveries_of(bus, event),
        "again_s": _again_s(chain),
    }


def _again_s(chain: Chain) -> int:
    if chain.is_busy:
        return _BUSY_S
    is_young = datetime.now(UTC) - chain.newest < _YOUNG
    return _YOUNG_S if is_young or chain.is_retrying else _QUIET_S


def _again(event: Event) -> dict[str, Any]:
    return {"type": event.type, "subject": event.subject, "data": event.data}


def _ndjson(log: EventLog, correlation: str) -> Iterator[str]:
    cursor: str | None = None
    for _ in range(MOST_TAKEN // _PAGE):
        page = log.query(
            EventQuery(correlation=correlation, order="asc", limit=_PAGE, cursor=cursor)
        )
        yield "".join(f"{each.to_json()}\n" for each in page.events)
        cursor = page.next
        if cursor is None:
            return


def _file(content: str | Iterator[str], name: str, kind: str = "text/plain") -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, content_type=f"{kind}; charset=utf-8")
