"""The catalogue: every type that is declared or was seen, one of them, and declaring it."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import groupby
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.api.parameters import json_object
from app.catalogue.changes import declare, withdraw
from app.catalogue.listing import STATES, Entry, entries, entry_of, with_sources
from app.pages import chart
from app.pages.filters import plural, type_href
from app.pages.flow import read_window, window_context
from app.pages.flow_view import pace
from app.pages.frame import back_to, example_command, render, with_query
from app.pages.json_text import pretty
from app.pages.payload_schema import schema_tree
from app.pages.who import who
from app.pages.window import Window
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event, Pattern
from eventbus.catalogue import inferred
from eventbus.errors import PatternError
from eventbus.log import EventQuery
from eventbus.log.type_series import type_series
from eventbus.log.type_sources import payloads

MOST_SHOWN = 300
_MOST_QUERY_CHARS = 200
_FEW = 10

blueprint = Blueprint("catalogue_page", __name__)

LABELS = {
    "used": "In use", "all": "All", "declared": "Declared and seen", "seen": "Only seen",
    "never": "Never seen",
}  # fmt: skip


@blueprint.get("/types")
def catalogue() -> str:
    """All types by family, or those that contain ``q``; ``state`` narrows them."""
    text = request.args.get("q", "").strip()[:_MOST_QUERY_CHARS]
    parts = runtime()
    found = entries(parts, text)
    used = [entry for entry in found if entry.is_used]
    view = request.args.get("state", "")
    if view not in ("all", *STATES):  # what nobody uses is found by its words, or when all is new
        view = "all" if text or not used else "used"
    chosen = {
        "all": found, "used": used,
        **{each: [entry for entry in found if entry.state == each] for each in STATES},
    }  # fmt: skip
    wrong = sum(bool(entry.tally.violations) for entry in found)
    lines = chosen[view]
    shown = [with_sources(parts, entry) for entry in lines[:MOST_SHOWN]]
    return render(
        "catalogue.html",
        "catalogue",
        families=[(name, list(own)) for name, own in groupby(shown, key=lambda e: e.family)],
        rest=len(lines) - len(shown),
        wrong=wrong,
        text=text,
        view=view,
        tabs=[
            (label, with_query("/types", state=each, q=text), len(chosen[each]), each == view)
            for each, label in LABELS.items()
        ],
        example=example_command(),
    )


@blueprint.get("/types/<path:type>")
def one(type: str) -> str:
    """One type, or one pattern that is declared."""
    return _page(type)


@blueprint.post("/types/declare")
def declare_type() -> str | Response | tuple[str, int]:
    """Declare what the form's text says; what is wrong is said beside it."""
    type, text = request.form.get("type", "").strip(), request.form.get("declaration", "")
    try:
        declare(runtime(), type, json_object(text or "{}"), who())
    except ProblemError as problem:
        if problem.status == 400 and _is_type(type):
            errors = problem.errors or [{"pointer": "", "detail": problem.detail}]
            return _page(type, text, errors), 422
        raise
    return back_to(type_href(type))


@blueprint.post("/types/withdraw")
def withdraw_type() -> Response:
    """Take back what the API or the form declared."""
    type = request.form.get("type", "")
    withdraw(runtime(), type, who())
    parts = runtime()
    still = parts.catalogue.get(type) is not None or entry_of(parts, type)[0] is not None
    return back_to(type_href(type) if still else "/types")


def _page(type: str, text: str | None = None, errors: list[dict[str, str]] | None = None) -> str:
    parts = runtime()
    entry, found = entry_of(parts, type)
    if entry is None and text is None:
        detail = f"the type {type[:200]!r} is neither declared nor was it ever seen"
        raise ProblemError(404, "No such type", detail)
    window, window_errors = read_window()
    declared = found.declaration
    schema = None if declared is None else declared.schema
    guessed = None
    if schema is None and entry is not None and entry.count and not entry.is_pattern:
        guessed = inferred(payloads(parts.bus.log, type))
    shown = schema if schema is not None else guessed
    newest = [] if entry is None or entry.is_pattern or not entry.count else _newest(type)
    own = parts.catalogue.get(type)
    example = _example(None if declared is None else declared.example, newest)
    return render(
        "type.html",
        "catalogue",
        type=type,
        entry=entry,
        found=found,
        declared=declared,
        own=own,
        schema=schema,
        guessed=guessed,
        tree=None if shown is None else schema_tree(shown),
        shown=shown,
        example=example,
        newest=newest,
        tally=parts.catalogue.tally.of(type),
        tally_since=parts.catalogue.tally.since,
        draft=_draft(type, own, guessed, example) if text is None else text,
        errors=errors or [],
        matched=_matched(entry) if entry is not None and entry.is_pattern else [],
        pace=pace,
        **_flow(type, window),
        **window_context(type_href(type), window, window_errors),
    )


def _flow(type: str, window: Window) -> dict[str, Any]:
    parts = runtime()
    figures = parts.flow.figures(window.since, window.until)
    series = type_series(parts.bus.log, type, window.since, window.until)
    titles = [
        f"{_at(series.since, place * series.step_s):%b %d %H:%M} UTC: {plural(count, 'event')}"
        for place, count in enumerate(series.counts)
    ]
    return {
        "bars": chart.bars(series.counts, max([*series.counts, 1])),
        "titles": titles,
        "window_count": sum(series.counts),
        "seconds": figures.lasted_s(window.until),
        "handled": {
            each.subscription: each for each in figures.handled if each.type == type
        },
        "causes": sorted(
            (each for each in figures.caused if each.type == type),
            key=lambda each: (-each.count, each.caused),
        ),
        "caused_by": sorted(
            (each for each in figures.caused if each.caused == type),
            key=lambda each: (-each.count, each.type),
        ),
    }  # fmt: skip


def _at(since: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(since.timestamp() + seconds, since.tzinfo)


def _newest(type: str) -> list[Event]:
    return runtime().bus.log.query(EventQuery(pattern=Pattern(type), limit=_FEW)).events


def _example(declared: Any, newest: list[Event]) -> dict[str, Any] | None:
    if declared is not None:
        return dict(declared)
    return next((event.data for event in newest if not event.is_stripped), None)


def _draft(type: str, own: Any, guessed: Any, example: Any) -> str:
    """What a declaration of the type could begin with: its own one, else what was seen."""
    if own is not None:
        value = {name: each for name, each in own.to_dict().items() if name != "type"}
    else:
        value = {"title": "", "description": "", "owner": "", "schema": guessed or {}}
        if example is not None and len(json.dumps(example)) < 4_000:
            value["example"] = example
    return pretty({"type": type, **value})


def _matched(entry: Entry) -> list[Entry]:
    """The types that a declared pattern decides about."""
    return [
        each for each in entries(runtime())
        if each.declaration is not None and each.declaration.type == entry.type
        and each.type != entry.type
    ][:MOST_SHOWN]  # fmt: skip


def _is_type(type: str) -> bool:
    try:
        Pattern(type)
    except PatternError:
        return False
    return True
