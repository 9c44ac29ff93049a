"""Where in an event the words are that somebody looked for: its line shows them, marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from app.pages.summary import clip, summarize
from eventbus.event import Event
from eventbus.log.words import SEAM, Term, Words

_MOST_BYTES = 32_768  # as of a payload that is read for the sake of one line
_MOST_VALUES = 2_000
_BEFORE, _AFTER = 16, 90
# As the search splits a text: letters and digits, apart also where camelCase is joined.
_BEGIN = rf"(?:(?<![^\W_])|(?-i:{SEAM.pattern}))"
_END = rf"(?:(?![^\W_])|(?-i:{SEAM.pattern}))"


class FoundWords:
    """Lines of events that were found by ``words``."""

    def __init__(self, words: Words) -> None:
        self._terms = [re.compile(_expression(term), re.IGNORECASE) for term in words.terms]
        self._any = re.compile("|".join(each.pattern for each in self._terms), re.IGNORECASE)

    def line(self, event: Event) -> Markup:
        """The event's summary with the words marked; before it, words that are elsewhere in the
        payload, with what they stand in."""
        summary = summarize(event)
        shown = " ".join((summary, event.type, event.subject))
        missing = [term for term in self._terms if not term.search(shown)]
        parts = [self._marked(each) for each in _places(event, missing)]
        return Markup(" · ").join([*parts, *([self._marked(summary)] if summary else [])])

    def _marked(self, text: str) -> Markup:
        marked, end = Markup(), 0
        for found in self._any.finditer(text):
            marked += escape(text[end : found.start()]) + Markup("<mark>%s</mark>") % found[0]
            end = found.end()
        return marked + escape(text[end:])


def _expression(term: Term) -> str:
    words = r"[\W_]+".join(map(re.escape, term.tokens))
    return _BEGIN + words + (r"[^\W_]*" if term.is_prefix else _END)


def _places(event: Event, missing: list[re.Pattern[str]]) -> Iterator[str]:
    """``name: value`` of the first value that has each of the terms, cut to what is around it."""
    if not missing or event.is_stripped or len(event.data_json) > _MOST_BYTES:
        return
    for name, value in _values(event.data):
        there = [term for term in missing if term.search(f"{name}: {value}")]
        if there:
            missing = [term for term in missing if term not in there]
            found = there[0].search(value)
            yield f"{clip(name, 60)}: {_around(value, found.start() if found else 0)}"
        if not missing:
            return


def _around(text: str, at: int) -> str:
    """The text from a few words before a position on."""
    if at <= _BEFORE:
        return clip(text, _BEFORE + _AFTER)
    start = at - _BEFORE
    begins = re.compile(r"\s").search(text, start, at)
    return f"…{clip(text[begins.end() if begins else start :], _BEFORE + _AFTER)}"


def _values(data: Any) -> Iterator[tuple[str, str]]:
    """Names and texts of the values in a payload, without going deeper than the stack may."""
    waiting: list[tuple[str, Any]] = [("", data)]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        name, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(f"{name}.{key}" if name else str(key), each) for key, each in value.items()]
            waiting += reversed(inner)
        elif isinstance(value, list):
            waiting += [(f"{name}[{n}]", each) for n, each in reversed([*enumerate(value)])]
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)
