"""What the live page's messages say, read out of their HTML without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from tests.helpers.raw_websocket import RawWebSocket

_PARTIAL = re.compile(r'<hx-partial hx-target="#([a-z-]+)" hx-swap="(\w+)">')


@dataclass(frozen=True, slots=True)
class ShownFold:
    """A fold row."""

    type: str
    count: int
    first: int
    last: int


class ShownRows(HTMLParser):
    """The rows in a fragment, in their order: sequences of events, and folds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[int | ShownFold] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    @property
    def sequences(self) -> list[int]:
        """The events that have a row of their own."""
        return [row for row in self.rows if isinstance(row, int)]

    @property
    def folds(self) -> list[ShownFold]:
        """The folds."""
        return [row for row in self.rows if isinstance(row, ShownFold)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag != "li":
            return
        if "data-fold" in values:
            count, first, last = (int(values[f"data-{n}"] or 0) for n in ("count", "first", "last"))
            self.rows.append(ShownFold(values["data-type"] or "", count, first, last))
        elif "data-sequence" in values:
            self.rows.append(int(values["data-sequence"] or 0))

    def handle_data(self, data: str) -> None:
        self.text += data


def targets(message: dict[str, Any]) -> list[str]:
    """The ids of the elements that a message puts something into."""
    return [found[0] for found in _PARTIAL.findall(message.get("content", ""))]


def receive_kind(page: RawWebSocket, kind: str) -> dict[str, Any]:
    """The next message of a kind; others are let go."""
    while True:
        message: dict[str, Any] | None = page.receive()
        assert message is not None, f"no {kind!r} came"
        if message["kind"] == kind:
            return message


def receive_rows(page: RawWebSocket, upto: int) -> ShownRows:
    """All rows up to a sequence, newest first as they stand on the page."""
    html = ""
    while True:
        message = page.receive()
        assert message is not None, f"the rows up to {upto} did not come"
        if message["kind"] in ("rows", "behind"):
            html = message.get("content", "") + html
            if message["sequence"] >= upto:
                return ShownRows(html)
