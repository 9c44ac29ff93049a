"""A real run of Inspect AI while the live page is open: tasks, bars and counters on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.inspect_run import QUICKSTART, InspectProcess
from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser
_RUN_S = 60_000


def test_a_hundred_samples_with_failures_show_live(
    server: ServerProcess, visit: Visit, tmp_path: Path
) -> None:
    page = visit(server, "/")
    logs = tmp_path / "logs"
    logs.mkdir()
    run = InspectProcess(logs, server.url, QUICKSTART, "--seconds", "4")
    # Nothing is reloaded from here on: what changes, the socket has brought.
    expect(page.locator("#active")).to_contain_text("flaky_sandbox", timeout=_RUN_S)
    expect(page.locator("#active progress").first).to_be_visible(timeout=_RUN_S)
    expect(page.locator("#stream-rows")).to_contain_text(
        re.compile(r"\d+ of 20 done"), timeout=_RUN_S
    )
    statuses = sorted(log.status for log in run.finish().logs.values())
    assert statuses == ["error", "success", "success", "success", "success"]
    counters = page.locator("#counters")
    for name, count in (("Active", 0), ("Completed", 4), ("Failed", 1), ("Exhausted", 1)):
        expect(counters).to_contain_text(re.compile(rf"{name}\w*\s*{count}\b"), timeout=_RUN_S)
    expect(page.locator("#active")).to_contain_text("No evaluation is running")
