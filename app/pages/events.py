"""The history page: the log by pattern, subject, chain, time and text; the filter is the URL."""

from __future__ import annotations

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.pages.events_histogram import columns
from app.pages.found_words import FoundWords
from app.pages.frame import example_command, render, with_query
from app.pages.history_form import HistoryForm
from app.pages.look import tone
from app.runtime import runtime
from eventbus.errors import CursorError
from eventbus.lens import lens
from eventbus.log.search import histogram
from eventbus.log.values import EventPage, EventQuery
from eventbus.log.words import Words

_BARS = 80
# A page says that the index is behind once searching the rest row by row can be felt.
_MUCH = 20_000
# For browsers without scripts; with them the field asks /api/types.
_TYPES = 200

blueprint = Blueprint("events_page", __name__)


def _is_newest(query: EventQuery) -> bool:
    """Whether what is recorded from now on comes at the top of the page."""
    return query.cursor is None and query.order == "desc" and query.until is None


@blueprint.get("/events")
def events() -> str | Response | tuple[str, int]:
    """One page of history, 100 events, newest or oldest first, below its histogram."""
    if any(not value for value in request.args.values()):
        # A form sends its empty fields too; a link to the result should not carry them.
        return redirect(with_query("/events", **request.args.to_dict()))
    form = HistoryForm.read(request.args)
    parts = runtime()
    log = parts.bus.log
    cursor = request.args.get("cursor")
    query = form.query(cursor)
    page = EventPage([], None)
    bars = None
    position = log.last_sequence
    if not form.errors:
        try:
            page = log.query(query)
            bars = histogram(log, parts.index, query, _BARS, lambda type: tone(type) == "bad")
        except CursorError as error:
            form.errors["cursor"] = str(error)
    if page.is_beginning and cursor:
        return redirect(form.href())  # back where it began: with what has come meanwhile
    state = parts.index.state()
    html = render(
        "events.html",
        "events",
        form=form,
        events=page.events,
        found_words=FoundWords(Words.parse(query.text)) if query.text else None,
        scanned=page.scanned,
        next_href=form.href(cursor=page.next) if page.next else None,
        previous_href=form.href(cursor=page.previous) if page.previous else None,
        first_href=form.href() if query.cursor else None,
        news_href=form.href("/events/news") if _is_newest(query) and not form.errors else None,
        position=max([position, *(event.sequence or 0 for event in page.events)]),
        export_href=None if form.errors else form.href("/events/export", order=None),
        chart=columns(bars, form) if bars else None,
        has_words=state.has_words,
        behind_count=state.behind_count if state.behind_count > _MUCH else 0,
        is_empty=log.last_sequence == 0,
        last_sequence=log.last_sequence,
        types=sorted(log.known_types.names())[:_TYPES],
        example=example_command(),
    )
    if "q" in form.errors and lens() is not None:
        return html, 403
    return (html, 400) if form.errors else html
