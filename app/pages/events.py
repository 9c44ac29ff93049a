"""The history page: the log by pattern, subject, chain, time and text; the filter is the URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.pages.frame import example_command, render, with_query
from app.pages.times import parse_moment
from app.runtime import runtime
from eventbus import Pattern
from eventbus.errors import CursorError, PatternError, SearchTextError
from eventbus.log import EventQuery
from eventbus.log.values import EventPage

PAGE_SIZE = 100
MAX_TEXT_CHARS = 1024
FIELDS = ("type", "q", "subject", "correlation", "since", "until", "order")

blueprint = Blueprint("events_page", __name__)


@dataclass(slots=True)
class HistoryForm:
    """The filter as typed (``values``), what is wrong with it (``errors``, by field), its query."""

    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def query(self, cursor: str | None) -> EventQuery:
        """The query that the values mean; fills ``errors`` for those that mean nothing."""
        values = self.values
        order: Literal["desc", "asc"] = "asc" if values.get("order") == "asc" else "desc"
        return EventQuery(
            pattern=self._pattern(values.get("type", "")),
            subject=values.get("subject") or None,
            correlation=values.get("correlation") or None,
            since=self._moment("since"),
            until=self._moment("until"),
            text=values.get("q") or None,
            order=order,
            limit=PAGE_SIZE,
            cursor=cursor,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return any(name != "order" for name in self.values)

    def href(self, **changes: str | None) -> str:
        """This list with some values changed."""
        return with_query("/events", **{**self.values, **changes})

    def _pattern(self, text: str) -> Pattern | None:
        try:
            return Pattern(text) if text else None
        except PatternError as error:
            self.errors["type"] = str(error)
            return None

    def _moment(self, name: str) -> datetime | None:
        text = self.values.get(name)
        try:
            return parse_moment(text) if text else None
        except ValueError as error:
            self.errors[name] = str(error)
            return None


@blueprint.get("/events")
def events() -> str | Response | tuple[str, int]:
    """One page of history, 100 events, newest or oldest first."""
    if any(not value for value in request.args.values()):
        # A form sends its empty fields too; a link to the result should not carry them.
        return redirect(with_query("/events", **request.args.to_dict()))
    given = {name: request.args[name].strip()[:MAX_TEXT_CHARS] for name in FIELDS
             if name in request.args}  # fmt: skip
    form = HistoryForm(given)
    log = runtime().bus.log
    query = form.query(request.args.get("cursor"))
    page = EventPage([], None)
    if not form.errors:
        try:
            page = log.query(query)
        except CursorError as error:
            form.errors["cursor"] = str(error)
        except SearchTextError as error:
            form.errors["q"] = str(error)
    html = render(
        "events.html",
        "events",
        form=form,
        events=page.events,
        scanned=page.scanned,
        next_href=form.href(cursor=page.next) if page.next else None,
        first_href=form.href() if query.cursor else None,
        is_empty=log.last_sequence == 0,
        last_sequence=log.last_sequence,
        types=[seen.type for seen in log.types()],
        example=example_command(),
    )
    return (html, 400) if form.errors else html
