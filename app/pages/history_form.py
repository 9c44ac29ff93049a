"""The filter of the history as people type it: what it means, what is wrong with it, its links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from app.pages.frame import with_query
from app.pages.typed import moment_in, pattern_in
from eventbus.errors import HiddenTextError, SearchTextError
from eventbus.lens import check_search
from eventbus.log import EventQuery
from eventbus.log.cursor import encode_place
from eventbus.log.words import Words
from eventbus.timestamps import format_time

FILTERS = ("type", "q", "subject", "correlation", "since", "until")
FIELDS = (*FILTERS, "order", "at")
PAGE_SIZE = 100
MAX_TEXT_CHARS = 1024


@dataclass(slots=True)
class HistoryForm:
    """The filter as typed (``values``), what is wrong with it (``errors``, by field), its query."""

    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> HistoryForm:
        """The fields that a request has, cut to a length that a filter can have."""
        return cls({n: given[n].strip()[:MAX_TEXT_CHARS] for n in FIELDS if given.get(n)})

    def query(self, cursor: str | None = None) -> EventQuery:
        """The query that the values mean; fills ``errors`` for those that mean nothing."""
        values = self.values
        order: Literal["desc", "asc"] = "asc" if values.get("order") == "asc" else "desc"
        return EventQuery(
            pattern=pattern_in(values, self.errors),
            subject=values.get("subject") or None,
            correlation=values.get("correlation") or None,
            since=self._moment("since"),
            until=self._moment("until"),
            text=self._text(),
            order=order,
            limit=PAGE_SIZE,
            cursor=cursor or self._place(order),
        )

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return any(name in self.values for name in FILTERS)

    def href(self, path: str = "/events", **changes: str | None) -> str:
        """This list with some values changed; a link to another page of it has no ``at``."""
        return with_query(path, **{**self.values, "at": None, **changes})

    def exact(self) -> dict[str, str]:
        """The values as the API takes them: ages have become times."""
        query = HistoryForm(dict(self.values)).query()
        values = {name: text for name, text in self.values.items() if name != "at"}
        for name, moment in (("since", query.since), ("until", query.until)):
            if moment is not None:
                values[name] = format_time(moment)
        return values

    @property
    def widened(self) -> str | None:
        """The text that also finds words that only begin so; None when it does not differ."""
        try:
            words = Words.parse(self.values.get("q", ""))
        except SearchTextError:
            return None
        return words.widened if words.can_widen else None

    def _moment(self, name: str) -> datetime | None:
        return moment_in(self.values, self.errors, name)

    def _text(self) -> str | None:
        text = self.values.get("q")
        try:
            if text:
                check_search()
                Words.parse(text)
        except (SearchTextError, HiddenTextError) as error:
            self.errors["q"] = str(error)
            return None
        return text or None

    def _place(self, order: str) -> str | None:
        """The page that begins at a position of the log."""
        text = self.values.get("at")
        if text is None:
            return None
        if not text.isdecimal() or not text.isascii() or not 1 <= int(text) < 2**62:
            self.errors["at"] = f"{text!r} is not a position: write a number, such as 1200"
            return None
        return encode_place(int(text) + (1 if order == "desc" else -1))
