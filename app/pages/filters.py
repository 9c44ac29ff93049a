"""What the templates can call: filters that turn values into text, never into markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Flask

from app.pages import json_text, look, summary, times
from app.pages.trend_chart import trend_chart
from eventbus.event import Event
from eventbus.timestamps import format_time
from handlers.travel import Place

# Ids that can stand in a path as they are; "." and ".." would be resolved away by browsers.
_PATH_SAFE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~:@+-]{1,200}")
_PAGES = ("by-id", "compare")  # below /evaluations, beside the ids
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def register_filters(app: Flask) -> None:
    """Make the filters known to every template of ``app``; they need no request."""
    env = app.jinja_env
    env.trim_blocks = True
    env.lstrip_blocks = True
    env.filters.update(
        ago=times.ago,
        as_of=as_of,
        clip=summary.clip,
        clock=times.clock,
        coarse=times.coarse,
        compact_json=json_text.compact,
        count=count,
        elapsed=times.elapsed,
        error_line=summary.error_line,
        error_message=summary.error_message,
        event_href=event_href,
        evaluation_href=evaluation_href,
        exact=times.exact,
        family_hue=look.family_hue,
        handler_href=handler_href,
        iso=format_time,
        moment=moment,
        json_tokens=json_text.tokens,
        plural=plural,
        pretty_json=json_text.pretty,
        rate=rate,
        sentence=sentence,
        signed=signed,
        size=summary.size,
        slug=slug,
        span=times.span,
        state_hue=look.state_hue,
        state_icon=look.state_icon,
        summarize=summary.summarize,
        tone=look.tone,
        trend_chart=trend_chart,
        type_href=type_href,
    )


def as_of(href: str, moment: Place | None) -> str:
    """A link from a page of the past: to the same past, where the page it leads to has one."""
    if not moment:
        return href
    path, _, query = href.partition("?")
    joined = f"{query}&" if query else ""
    at = quote(format_time(moment.at) if moment.at else str(moment.position), safe=":")
    if path in ("/", "/evaluations") or path.startswith("/evaluations/"):
        return f"{path}?{joined}at={at}"
    if path == "/events":
        return f"{path}?{joined}before={moment.position + 1}"
    return href


def event_href(event: Event) -> str:
    """Where an event's page is. An id is unique within its source only, so a made-up one that
    another source may have used too is linked by its place in the log."""
    if _UUID.fullmatch(event.id) or event.sequence is None:
        return f"/events/{quote(event.id, safe='')}"
    return f"/events/at/{event.sequence}"


def evaluation_href(eval_id: str) -> str:
    """Where an evaluation's page is; ids that no path can hold go into the query."""
    if _PATH_SAFE.fullmatch(eval_id) and eval_id not in _PAGES:
        return f"/evaluations/{eval_id}"
    return f"/evaluations/by-id?eval_id={quote(eval_id, safe='')}"


def handler_href(name: str) -> str:
    """Where a subscription's page is; names that no path can hold go into the query."""
    if _PATH_SAFE.fullmatch(name) and name != "by-name":
        return f"/handlers/{name}"
    return f"/handlers/by-name?name={quote(name, safe='')}"


def type_href(type: str) -> str:
    """Where the page of an event type is, or of a declared pattern."""
    return f"/types/{quote(type, safe='*+')}"


def moment(second: int) -> datetime:
    """The moment of a whole Unix second."""
    return datetime.fromtimestamp(second, UTC)


def slug(value: Any) -> str:
    """A value as part of an element's id: no spaces, no quotes, the same for the same value."""
    return quote(str(value), safe="")


def count(value: Any) -> str:
    """A number with thin spaces between thousands: ``12 345``."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


def signed(change: float) -> str:
    """A difference in at most four digits, but whole thousands: ``+0.02``, ``−48 400``."""
    size = abs(change)
    is_long = size >= 1000 and size < 1e15
    text = f"{size:,.0f}".replace(",", "\u202f") if is_long else f"{size:.4g}"
    return ("−" if change < 0 else "+") + text


def sentence(text: str) -> str:
    """What an error says as people read it: with a capital, unless a name begins it, and a stop.

    A name is what is no word, and what a rule is about: "delivery must be given".
    """
    first, _, rest = text.partition(" ")
    is_name = not first.isalpha() or rest.startswith("must ")
    begun = text if is_name else text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "!", "?")) else begun + "."


def plural(number: int, word: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def rate(value: float) -> str:
    """Events per second: ``0``, ``0.4``, ``12.5``, ``1 240``."""
    if value <= 0:
        return "0"
    if value < 0.1:
        return "<0.1"
    return f"{value:.1f}" if value < 99.95 else count(round(value))
