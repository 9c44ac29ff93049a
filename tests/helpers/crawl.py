"""Follows the links of the product's pages, so that a test sees each kind of page there is."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.sync_api import Page
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from app import create_app

# Hundreds of links of one kind lead to the same page with other events.
_EACH = 2
_DOWNLOADS = re.compile(r"^/(api|static)/|/raw$|/take/")


def page_kinds() -> set[str]:
    """The endpoints that answer GET with a page: all but the API, files, probes and sockets."""
    app = create_app()
    return {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and not rule.websocket
        and not rule.rule.startswith(("/api/", "/static/"))
        and not rule.rule.endswith(".json")
    }


class Crawl:
    """Goes from link to link; ``seen`` are the endpoints that were come to."""

    def __init__(self, page: Page, starts: list[str]) -> None:
        self.page = page
        self._adapter: MapAdapter = create_app().url_map.bind("localhost")
        self._waiting = deque(starts)
        self._known = set(starts)
        self._count: dict[str, int] = {}
        self.seen: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        """Open one page after the other; what is given is its path and query."""
        while self._waiting:
            path = self._waiting.popleft()
            kind = self._kind(path)
            if self._count.get(kind, 0) >= _EACH or _DOWNLOADS.search(path):
                continue
            self._count[kind] = self._count.get(kind, 0) + 1
            self.page.goto(path)
            self.seen.add(kind)
            yield path
            self._note_links()

    def _note_links(self) -> None:
        for link in self.page.evaluate(
            "() => [...document.querySelectorAll('a[href^=\"/\"]')]"
            ".map((each) => each.getAttribute('href'))"
        ):
            path = link.partition("#")[0]
            if path not in self._known:
                self._known.add(path)
                self._waiting.append(path)

    def _kind(self, path: str) -> str:
        try:
            endpoint, _ = self._adapter.match(urlsplit(path).path)
        except HTTPException:
            return "none"
        return str(endpoint)
