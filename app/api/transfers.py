"""The history as a file, and events from one: export and import."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from app import export
from app.api import event_query
from app.api.alerts import by as by_of
from app.api.answers.events import ImportResult
from app.api.common import BY, TOKEN
from app.api.parameters import refuse_coding
from app.api.shapes import answer
from app.importing import MAX_IMPORT_BYTES, import_events
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import Media, operation
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log.words import Words
from eventbus.validation import shown

_NDJSON = frozenset({
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
    "application/json-lines", "text/plain", "application/octet-stream", "",
})  # fmt: skip

_TAG = "Events"
_FORMAT = Field("format", kinds.choice(export.FORMATS), "What file it is.", default="ndjson")
_NAME = Field("name", kinds.text(), "What is imported, for the audit trail.", example="old.ndjson")
_FILE = Media(
    {"application/x-ndjson": {"type": "string"}, "text/csv": {"type": "string"}},
    about="The file: a CloudEvent a line, or a table.",
)
_LINES = Media(
    {"application/x-ndjson": {"type": "string"}},
    {"application/x-ndjson": {
        "two lines": '{"type": "order.paid", "id": "1"}\n{"type": "order.paid", "id": "2"}\n',
    }},
    about="An event a line, each as for `POST /api/events`.",
)  # fmt: skip

blueprint = Blueprint("transfers", __name__)


@blueprint.get("/events/export")
@operation(
    "exportEvents", _TAG, query=(*event_query.FILTER, _FORMAT, TOKEN), answers={200: _FILE},
    problems={429: "Too many exports and imports run."},
    headers={"Content-Disposition": "A name for the file."},
)  # fmt: skip
def export_events() -> Response:
    """The whole filtered history as NDJSON (CloudEvents) or CSV, oldest first.

    ``format`` is ``ndjson`` or ``csv``; the filter is that of ``GET /api/events``. ``token`` (32
    hex digits) lets the export's page follow it. Streamed; an answer that breaks off is not all.
    """
    format = _FORMAT.read()
    query = event_query.from_request(order="asc", limit=1)
    if query.text:
        Words.parse(query.text)  # before the answer begins
    parts = runtime()
    transfer = parts.transfers.new("export", TOKEN.read())
    transfer.expected = export.expected_count(parts.bus.log, parts.index, query)
    return export.answer(parts.bus.log, query, format, parts.transfers, transfer)


@blueprint.post("/events/import")
@operation(
    "importEvents", _TAG, query=(BY, _NAME, TOKEN), body=_LINES, answers={200: ImportResult},
    problems={429: "Too many exports and imports run."},
)  # fmt: skip
def import_lines() -> Response:
    """Publish the events of an NDJSON body, a line each; ``by`` is who does, ``name`` what it is.

    200 with counts and what is wrong with which line; 503 when it could not be ended: sent again,
    what was recorded counts as duplicate. Duplicates are known by source and id.
    """
    refuse_coding()
    if request.mimetype not in _NDJSON:
        raise ProblemError(
            415,
            "Unsupported Media Type",
            f"the content type must be application/x-ndjson, not {shown(request.mimetype)}",
            headers={"Accept-Post": "application/x-ndjson"},
        )
    request.max_content_length = MAX_IMPORT_BYTES
    parts = runtime()
    by = by_of({"by": BY.read()})["by"]
    transfer = parts.transfers.new("import", TOKEN.read())
    found = import_events(
        parts, request.stream, transfer, by, _NAME.read() or "", request.content_length
    )
    result: dict[str, Any] = asdict(found)
    if found.error is None:
        result.pop("error")
        return answer(result)
    raise ProblemError(
        503,
        "Not all was imported",
        f"{found.error} (of {found.lines} lines, {found.recorded} recorded, {found.duplicates} "
        f"duplicate, {found.refused} refused)",
        [
            {"pointer": f"/{each['line']}{each['pointer']}", "detail": each["detail"]}
            for each in found.errors
        ],
    )
