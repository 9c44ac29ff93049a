"""Pages that take the history away and bring events back: export, import, how far they are."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.export import expected_count
from app.importing import MAX_IMPORT_BYTES, Imported, import_events
from app.pages.frame import is_htmx, render
from app.pages.history_form import HistoryForm
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime
from app.transfers import Transfer

_MAX_NAME_CHARS = 200

blueprint = Blueprint("transfers_page", __name__)


@blueprint.get("/events/export")
def export_page() -> str | Response:
    """What would be exported, as links that download it, and how far a download is."""
    form = HistoryForm.read(request.args)
    query = form.query()
    if form.errors:
        return redirect(form.href())
    token = secrets.token_hex(16)
    filters = {**form.exact(), "token": token}
    return render(
        "export.html",
        "events",
        form=form,
        token=token,
        expected=expected_count(runtime().bus.log, runtime().index, query),
        links={
            format: "/api/events/export?" + urlencode({**filters, "format": format})
            for format in ("ndjson", "csv")
        },
        command=_command(form),
    )


@blueprint.get("/events/import")
def import_page() -> str:
    """The form that takes a file."""
    return render("import.html", "events", token=secrets.token_hex(16), found=None, name="")


@blueprint.post("/events/import")
def import_file() -> str | tuple[str, int]:
    """Publish the events of the file; what became of its lines, in place of the form."""
    request.max_content_length = MAX_IMPORT_BYTES
    upload = request.files.get("file")
    token = request.form.get("token") or None
    name = (upload.filename or "")[:_MAX_NAME_CHARS] if upload else ""
    if upload is None or not name:
        found = Imported(error="choose a file first")
    else:
        parts = runtime()
        transfer = parts.transfers.new("import", token)
        size = upload.stream.seek(0, 2)
        upload.stream.seek(0)
        found = import_events(parts, upload.stream, transfer, who(), name, size)
    context: dict[str, Any] = {"found": found, "name": name}
    if is_htmx():
        return render_template("import/_result.html", **context)
    page = render("import.html", "events", token=secrets.token_hex(16), **context)
    return page, 200 if found.error is None else 422


@blueprint.get("/events/transfers/<token>")
def progress(token: str) -> Response:
    """How far an export or import is; asked again until it has ended.

    The process that it runs in knows that. Another one leaves on the page what that has said.
    """
    text = request.args.get("turn", "0")
    turn = int(text) % 100_000 if text.isdecimal() and len(text) < 9 else 0
    transfers = runtime().transfers
    transfer = transfers.get(token)
    is_elsewhere = transfer is None and transfers.may_be_elsewhere
    response = Response(
        _progress(transfer, token, turn, is_elsewhere), content_type="text/html; charset=utf-8"
    )
    if is_elsewhere and turn:
        response.headers["HX-Retarget"] = f"#ask-{turn - 1}"
        response.headers["HX-Reswap"] = "outerHTML"
    return response


@blueprint.post("/events/transfers/<token>/stop")
def stop(token: str) -> str:
    """End it: an export breaks off, an import leaves what it has recorded."""
    transfers = runtime().transfers
    transfer = transfers.get(token)
    if transfer is not None:
        transfer.stop()
    elif transfers.may_be_elsewhere:
        transfers.stop_elsewhere(token)
    else:
        raise ProblemError(404, "Not Found", "there is no such export or import any more")
    return _progress(transfer, token, 0, transfer is None)


def _progress(transfer: Transfer | None, token: str, turn: int, is_elsewhere: bool) -> str:
    return render_template(
        "export/_progress.html", transfer=transfer, token=token, turn=turn,
        is_elsewhere=is_elsewhere,
    )  # fmt: skip


def _command(form: HistoryForm) -> str:
    query = urlencode({**form.exact(), "format": "ndjson"})
    return f"curl -fo events.ndjson '{request.host_url}api/events/export?{query}'"
