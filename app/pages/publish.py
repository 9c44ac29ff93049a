"""The publish page: a form, a preview of who would handle it, and a receipt that fills in."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from app.pages.chain import chain_of
from app.pages.frame import is_htmx, render
from app.pages.payloads import EXAMPLES, example_for
from app.pages.publish_form import PublishForm
from app.pages.takeaway import as_curl, as_python
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event

COMMIT_TIMEOUT_S = 10.0
_RECENT_TYPES = 4

blueprint = Blueprint("publish_page", __name__)


@blueprint.get("/publish")
def publish_page() -> str:
    """The form, filled from ``?type=`` (its example) or ``?like=`` (the event at a sequence)."""
    log = runtime().bus.log
    wanted = request.args.get("like", "")
    like = log.get_by_sequence(int(wanted)) if wanted.isdecimal() and len(wanted) < 19 else None
    type = request.args.get("type", "").strip()
    if like is not None:
        form = PublishForm.filled(like.type, like.data, like.subject)
    elif type:
        form = PublishForm.filled(type, example_for(log, type))
    else:
        form = PublishForm.filled("evaluation.started", EXAMPLES["evaluation.started"])
    return _page(form, _receipt(request.args.get("receipt")))


@blueprint.post("/publish")
def publish() -> str | AnyResponse | tuple[str, int]:
    """Publish what the form says; what is wrong is said beside its field, nothing typed is lost."""
    parts = runtime()
    form = PublishForm.read(request.form)
    event = form.event(parts.settings.source, parts.settings.max_event_bytes)
    if event is None:
        page = render_template("publish/_fields.html", form=form) if is_htmx() else _page(form, {})
        return page, 422
    receipt = parts.bus.publish_event(event)
    recorded = receipt.wait(COMMIT_TIMEOUT_S)
    if not is_htmx():
        return redirect(f"/publish?receipt={recorded.sequence}", 303)
    return render_template(
        "publish/_sent.html", form=form, **_receipt_context(recorded, receipt.duplicate)
    )


@blueprint.get("/publish/receipt/<int:sequence>")
def receipt(sequence: int) -> str:
    """What became of a published event so far; asked again until nothing is under way."""
    context = _receipt(str(sequence), is_duplicate=request.args.get("duplicate") == "yes")
    if not context:
        raise ProblemError(404, "No such event", f"the log has no event #{sequence}")
    turn = request.args.get("turn", "0")
    return render_template(
        "publish/_receipt.html", **context, turn=int(turn) if turn.isdecimal() else 0
    )


@blueprint.post("/publish/preview")
def preview() -> str:
    """Who would get the event, and the same as curl and Python; nothing is published."""
    return render_template("publish/_preview.html", **_preview(PublishForm.read(request.form)))


@blueprint.get("/publish/example")
def example() -> Response:
    """An example payload of ``?type=``, as JSON text; empty when there is none."""
    data = example_for(runtime().bus.log, request.args.get("type", "").strip())
    text = PublishForm.filled(data=data).values["data"] if data else ""
    return Response(text, mimetype="text/plain")


def _page(form: PublishForm, receipt: dict[str, Any]) -> str:
    types = [seen.type for seen in runtime().bus.log.types()]
    seen = sorted(runtime().bus.log.types(), key=lambda each: -each.last_sequence)
    return render(
        "publish.html",
        "publish",
        form=form,
        types=list(dict.fromkeys([*EXAMPLES, *types])),
        examples=list(EXAMPLES),
        recent=[each.type for each in seen if each.type not in EXAMPLES][:_RECENT_TYPES],
        has_receipt=bool(receipt),
        **receipt,
        **_preview(form),
    )


def _receipt(sequence: str | None, is_duplicate: bool = False) -> dict[str, Any]:
    log = runtime().bus.log
    known = sequence is not None and sequence.isdecimal() and len(sequence) < 19
    event = log.get_by_sequence(int(sequence or 0)) if known else None
    return _receipt_context(event, is_duplicate) if event else {}


def _receipt_context(event: Event, is_duplicate: bool) -> dict[str, Any]:
    chain = chain_of(runtime().bus, event, below_only=True)
    return {"event": event, "is_duplicate": is_duplicate, "chain": chain}


def _preview(form: PublishForm) -> dict[str, Any]:
    bus = runtime().bus
    type = form.values["type"]
    served = bus.served()
    base = request.host_url.rstrip("/")
    plain = form.as_plain()
    return {
        "data_error": plain is None,
        "subscribers": [
            {"name": each.name, "pattern": each.pattern.text, "is_served": each.name in served}
            for each in bus.log.subscribers()
            if type and each.pattern.matches(type)
        ],
        "curl": as_curl(base, plain or {}),
        "python": as_python(base, plain or {}),
    }
