"""Fixtures of the browser tests: one Chromium, and pages that fail the test on script errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

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
)
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


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens a path of a server in a window of its own; keywords go to the browser's context.

    An uncaught error or an error on the console, such as a violation of the Content Security
    Policy, fails the test.
    """
    problems: list[str] = []
    with ExitStack() as windows:

        def open_page(server: ServerProcess, path: str = "/", **options: Any) -> Page:
            options.setdefault("viewport", {"width": 1280, "height": 800})
            context = browser.new_context(base_url=server.url, **options)
            windows.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: problems.append(f"{path}: {error}"))
            page.on("console", lambda message: _note(message, path, problems))
            page.goto(path)
            return page

        yield open_page
    assert not problems, problems


def _note(message: ConsoleMessage, path: str, problems: list[str]) -> None:
    if message.type == "error" and not message.text.startswith(_EXPECTED):
        problems.append(f"{path}: {message.text}")
