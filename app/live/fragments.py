"""The HTML that travels over the socket, from the same partials as the page's first load."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from app.live.fold import Row

PANELS = ("troubles", "counters", "alerts", "trends", "types", "active", "retries")
"""The parts of the page beside the stream: the names of their partials and of their elements."""

log = logging.getLogger(__name__)

_ITEM_END = "</li>"  # never part of an event's text, which is escaped


class Fragments:
    """Renders rows and panels with Jinja, outside any request.

    A row looks the same to everybody, so one that several views show in a tick is rendered once,
    if somebody calls ``forget`` after the tick; hence one object belongs to one thread.
    """

    def __init__(self, env: Environment) -> None:
        """``env`` has the templates and filters of the app."""
        self._env = env
        self._known: dict[Row, str] = {}

    def rows(self, rows: Sequence[Row]) -> str:
        """The list items of ``rows``, in the order given."""
        new = [row for row in rows if row not in self._known]
        if new:
            self._known.update(zip(new, self._items(new), strict=True))
        return "".join([self._known[row] for row in rows])

    def _items(self, rows: list[Row]) -> list[str]:
        # All at once: a row costs 40 µs so, and 190 when the template is called for each.
        try:
            *items, _ = self._env.get_template("live/_rows.html").render(rows=rows).split(_ITEM_END)
        except Exception:
            if len(rows) > 1:
                return [self._items([row])[0] for row in rows]
            # One event that the template cannot show must not stop the stream of all others.
            log.exception("row %s, %s, could not be rendered", rows[0].sequence, rows[0].type)
            return [_plain_item(rows[0])]
        return [item.strip() + _ITEM_END for item in items]

    def forget(self) -> None:
        """Drop the rows that were kept to render them only once."""
        self._known.clear()

    def panel(self, name: str, context: Mapping[str, Any]) -> str:
        """The content of one of PANELS."""
        return self._env.get_template(f"live/_{name}.html").render(context)


def _plain_item(row: Row) -> str:
    return Markup('<li class="row" id="e{0}" data-sequence="{0}">{0} {1}</li>').format(
        row.sequence, row.type
    )


def partial(target: str, swap: str, html: str) -> str:
    """htmx 4's element for "put this there"; ``target`` is an element's id."""
    return f'<hx-partial hx-target="#{target}" hx-swap="{swap}">{html}</hx-partial>'


def rows_partial(html: str) -> str:
    """New rows, for the top of the stream."""
    return partial("stream-rows", "afterbegin", html)


def panels_partial(panels: Iterable[tuple[str, str]]) -> str:
    """The named panels' new content; morphed in, so that focus and pointer stay where they are."""
    return "".join(partial(name, "innerMorph", html) for name, html in panels)
