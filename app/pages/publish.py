"""The publish page: a form, a preview of what would happen, and a receipt that fills in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from app.access.acts import is_own
from app.access.guard import actor
from app.access.publishing import check_cancel, check_types, in_own_name
from app.api.preview import foresee
from app.pages import foresight
from app.pages.chain import chain_of
from app.pages.frame import is_htmx, render
from app.pages.payload_schema import schema_tree
from app.pages.payloads import OFFERED, example_for
from app.pages.publish_form import PublishForm
from app.pages.takeaway import as_curl, as_python
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event, Pattern
from eventbus.errors import DryRunError, EventValidationError, OverlayError, PatternError
from eventbus.lens import hides
from eventbus.scheduled import ScheduledEvent

COMMIT_TIMEOUT_S = 10.0
_RECENT_TYPES = 4
_OFFERED_TYPES = 500

blueprint = Blueprint("publish_page", __name__)


@blueprint.get("/publish")
def publish_page() -> str:
    """The form, filled from ``?type=`` (its example), ``?like=`` (the event at a sequence), or with
    what the receipt is for."""
    type = request.args.get("type", "").strip()
    sent = _receipt(request.args.get("receipt")) or _waiting(request.args)
    like = _recorded(request.args.get("like")) or sent.get("event") or sent.get("waiting")
    if like is not None:
        form = PublishForm.filled(like.type, like.data, like.subject)
    elif type:
        form = PublishForm.filled(type, example_for(runtime().bus, type))
    else:
        form = PublishForm.filled(OFFERED[0], example_for(runtime().bus, OFFERED[0]))
    return _page(form, sent)


@blueprint.post("/publish")
def publish() -> str | AnyResponse | tuple[str, int]:
    """Publish what the form says; what is wrong is said beside its field, nothing typed is lost."""
    parts = runtime()
    form = PublishForm.read(request.form)
    event = form.event(parts.settings.source, parts.settings.max_event_bytes)
    if event is None:
        return _refused(form)
    check_types([event])
    try:
        receipt = parts.bus.publish_event(*in_own_name([event]))
    except EventValidationError as error:
        form.note(error)
        return _refused(form)
    except ProblemError as refused:  # it names somebody else
        form.note(refused.as_validation())
        return _refused(form)
    recorded = receipt.wait(COMMIT_TIMEOUT_S)
    if isinstance(recorded, ScheduledEvent):
        found = {"waiting": recorded, "is_duplicate": receipt.duplicate}
        where = urlencode({"scheduled": recorded.id, "source": recorded.source})
    else:
        found = _receipt_context(recorded, receipt.duplicate)
        where = f"receipt={recorded.sequence}"
    if not is_htmx():
        return redirect(f"/publish?{where}", 303)
    return render_template("publish/_sent.html", form=form, **_about(form), **found)


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


@blueprint.get("/publish/waiting")
def waiting() -> str:
    """What became of a scheduled event: it waits, it was recorded, or it was taken back."""
    context = _waiting(request.args)
    turn = request.args.get("turn", "0")
    context["turn"] = int(turn) if turn.isdecimal() and len(turn) < 19 else 0
    template = "_receipt" if "event" in context else "_waiting"
    return render_template(f"publish/{template}.html", **context)


@blueprint.post("/publish/cancel")
def cancel() -> str | AnyResponse:
    """Take back what is scheduled; the log then has who did it."""
    id, source = request.form.get("scheduled", ""), request.form.get("source") or None
    check_cancel(id, source)
    runtime().bus.cancel(id, source=source, by=actor("publish page")).wait(COMMIT_TIMEOUT_S)
    where = {"scheduled": id, "source": source or ""}
    if not is_htmx():
        return redirect(f"/publish?{urlencode(where)}", 303)
    return render_template("publish/_waiting.html", **_waiting(where), turn=0)


@blueprint.post("/publish/preview")
def preview() -> str:
    """What would happen, and the same as curl and Python; nothing is published."""
    form = PublishForm.read(request.form)
    return render_template("publish/_preview.html", **_preview(form), is_update=True)


@blueprint.get("/publish/example")
def example() -> Response:
    """An example payload of ``?type=``, as JSON text; empty when there is none."""
    data = example_for(runtime().bus, request.args.get("type", "").strip())
    text = PublishForm.filled(data=data).values["data"] if data else ""
    return Response(text, mimetype="text/plain")


def _refused(form: PublishForm) -> tuple[str, int]:
    if not is_htmx():
        return _page(form, {}), 422
    return render_template("publish/_fields.html", form=form, **_about(form)), 422


def _declared() -> list[str]:
    """The declared types, without patterns."""
    return [each.type for each in runtime().catalogue.all() if each.pattern.is_literal]


def _about(form: PublishForm) -> dict[str, Any]:
    """What is declared of the form's type, and what its payload breaks of that."""
    catalogue, type, plain = runtime().catalogue, form.values["type"], form.as_plain()
    try:
        is_type = Pattern(type).is_literal
    except PatternError:
        is_type = False
    if not is_type:
        return {"is_type": False, "declared": None, "breaks": [], "mode": "off", "needed": []}
    found = catalogue.find(type)
    schema = None if found.declaration is None else found.declaration.schema
    lines = [] if schema is None else schema_tree(schema).lines
    return {
        "is_type": True,
        "is_refused": found.declaration is None and catalogue.unknown == "refuse",
        "declared": found.declaration,
        "mode": found.mode,
        "needed": [line for line in lines if line.is_required and not line.level],
        # What is wrong already with the text, or the type, is told elsewhere.
        "breaks": [] if plain is None or found.compiled is None
        else found.compiled.violations(plain["data"]),
    }  # fmt: skip


def _page(form: PublishForm, receipt: dict[str, Any]) -> str:
    seen = sorted(runtime().bus.log.types(), key=lambda each: -each.last_sequence)
    names = [each.type for each in seen[:_OFFERED_TYPES]]
    return render(
        "publish.html",
        "publish",
        form=form,
        types=sorted({*OFFERED, *names, *_declared()}),
        examples=list(OFFERED),
        recent=[n for n in names if n not in OFFERED and not is_own(n)][:_RECENT_TYPES],
        has_receipt=bool(receipt),
        **receipt,
        **_preview(form),
    )


def _recorded(sequence: str | None) -> Event | None:
    if sequence is None or not sequence.isdecimal() or len(sequence) >= 19:
        return None
    return runtime().bus.log.get_by_sequence(int(sequence))


def _receipt(sequence: str | None, is_duplicate: bool = False) -> dict[str, Any]:
    event = _recorded(sequence)
    return _receipt_context(event, is_duplicate) if event else {}


def _receipt_context(event: Event, is_duplicate: bool) -> dict[str, Any]:
    parts = runtime()
    chain = chain_of(parts.bus, event, below_only=True)
    is_whole = not (event.is_stripped or hides(event.type))
    broken = [] if not is_whole else parts.catalogue.violations(event.type, event.data)
    return {"event": event, "is_duplicate": is_duplicate, "chain": chain, "broken": broken}


def _waiting(asked: Any) -> dict[str, Any]:
    """Of the event that ``asked`` names by "scheduled", its id, and "source"."""
    id, source = asked.get("scheduled", ""), asked.get("source") or None
    if not id:
        return {}
    log = runtime().bus.log
    if found := log.schedules.find(id, source):
        return {"waiting": found[0], "is_duplicate": False}
    event = log.get(id, source)
    if event is not None:
        return _receipt_context(event, False)
    return {"waiting": None, "gone_id": id}


def _refusal(pointer: str, detail: str) -> str:
    return f"it would be refused, {pointer} {detail}"


def _preview(form: PublishForm) -> dict[str, Any]:
    settings = runtime().settings
    base = request.host_url.rstrip("/")
    plain = form.as_plain()
    probe = PublishForm(form.values)  # what is wrong is told when it is sent
    event = probe.event(settings.source, settings.max_event_bytes)
    context: dict[str, Any] = {
        "data_error": plain is None,
        "problem": next(
            (f"{field.strip('/')}: {texts[0]}" for field, texts in probe.errors.items()), None
        ),
        **_about(form),
        "curl": as_curl(base, plain or {}),
        "python": as_python(base, plain or {}),
    }
    if event is None:
        return context
    try:
        result = foresee(in_own_name([event]))
    except ProblemError as refused:
        told = (_refusal(each["pointer"], each["detail"]) for each in refused.errors)
        return {**context, "problem": next(told, refused.detail)}
    except EventValidationError as error:
        first = error.errors[0]
        return {**context, "problem": _refusal(first.pointer, first.detail)}
    except (DryRunError, OverlayError) as error:
        return {**context, "problem": str(error)}
    return {
        **context,
        "foreseen": result,
        "future": foresight.tree(result),
        "stories": foresight.stories(result),
    }
