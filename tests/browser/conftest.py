"""Fixtures of the browser tests: one Chromium, and pages that fail the test on script errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",
)
LONG_MS = 20_000
"""How long what a test waits for may take; Playwright's own 5 s are little on a busy machine."""
expect.set_options(timeout=LONG_MS)
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
# What the browser itself says about answers with an error status and about lost connections; the
# tests that bring these about look at the page instead.
_EXPECTED = (
    "Failed to load resource",
    "WebSocket connection to",
    "htmx: htmx:ws:error",
    "htmx: htmx:error: Failed to fetch",
)


# Not for the whole session: while Playwright is up, its event loop counts as running in the main
# thread, and tests of the bus that come later would publish as if from a coroutine.
@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    """One browser for a module's tests; every page gets a context of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(_ARGUMENTS))
        yield browser
        browser.close()


class WarmWindow:
    """Where the tests of one server open their first windows: one context and its one process.

    A context of its own costs each page a new process that reads and compiles everything again.
    """

    def __init__(self, browser: Browser, server: ServerProcess) -> None:
        self._context = browser.new_context(base_url=server.url, viewport=VIEWPORT)
        self._keeper: Page | None = None

    def open_page(self) -> Page:
        return self._context.new_page()

    def clean(self) -> None:
        """Close the pages and forget what they kept, before the next test comes."""
        if self._keeper is None:  # a page of the same site keeps the process
            self._keeper = self._context.new_page()
            self._keeper.goto("/healthz")
        for page in self._context.pages:
            if page is not self._keeper:
                page.close()
        self._context.clear_cookies()
        self._keeper.evaluate("localStorage.clear()")

    def close(self) -> None:
        self._context.close()


@pytest.fixture(scope="module")
def warm_windows(browser: Browser) -> Iterator[Callable[[ServerProcess], WarmWindow]]:
    """The warm window of each server that a module's tests share."""
    windows: dict[str, WarmWindow] = {}
    with ExitStack() as stack:

        def of_server(server: ServerProcess) -> WarmWindow:
            if server.url not in windows:
                windows[server.url] = window = WarmWindow(browser, server)
                stack.callback(window.close)
            return windows[server.url]

        yield of_server


@pytest.fixture
def visit(
    browser: Browser,
    warm_windows: Callable[[ServerProcess], WarmWindow],
    request: pytest.FixtureRequest,
) -> Iterator[Visit]:
    """Opens a path of a server in a window of its own; keywords go to the browser's context.

    An uncaught error or an error on the console, such as a violation of the Content Security
    Policy, fails the test.
    """
    problems: list[str] = []
    lasting = _lasting_servers(request)
    with ExitStack() as windows:

        def open_page(server: ServerProcess, path: str = "/", **options: Any) -> Page:
            if server in lasting and not options:
                lasting.clear()  # a second window shares nothing with the first
                window = warm_windows(server)
                windows.callback(window.clean)
                page = window.open_page()
            else:
                options.setdefault("viewport", VIEWPORT)
                context = browser.new_context(base_url=server.url, **options)
                windows.callback(context.close)
                page = context.new_page()
            page.set_default_timeout(LONG_MS)
            page.on("pageerror", lambda error: problems.append(f"{path}: {error}"))
            page.on("console", lambda message: _note(message, path, problems))
            page.goto(path)
            return page

        yield open_page
    assert not problems, problems


def _lasting_servers(request: pytest.FixtureRequest) -> list[ServerProcess]:
    """The servers that the test shares with others of its module."""
    # pytest has no public way to the scope of another fixture
    names = [
        name
        for name in request.fixturenames
        if (found := request._arg2fixturedefs.get(name)) and found[-1].scope == "module"
    ]
    values = [request.getfixturevalue(name) for name in names]
    return [value for value in values if isinstance(value, ServerProcess)]


def _note(message: ConsoleMessage, path: str, problems: list[str]) -> None:
    if message.type == "error" and not message.text.startswith(_EXPECTED):
        problems.append(f"{path}: {message.text}")
