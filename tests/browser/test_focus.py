"""Where the focus is after a button did its work: at what stands in its place, never nowhere."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from pytest import mark

from tests.helpers.pages import Visit, fail
from tests.helpers.server import ServerProcess

pytestmark = mark.browser


def test_the_focus_stays_where_a_button_did_its_work(server: ServerProcess, visit: Visit) -> None:
    for error in ("slow start", "no room"):
        server.api.publish("alert.warning", {"service": "sandbox", "error": error})
    for eval_id in ("lost-1", "lost-2"):
        for retries in range(4):
            fail(server, eval_id, retries=retries)
    server.api.publish("evaluation.started", {"eval_id": "runs"})
    focused = "document.activeElement.closest('li[id], tr[id]')?.id"

    page = visit(server, "/alerts")
    row = page.locator("#alert-list li[id]").first
    name = row.get_attribute("id")
    row.get_by_role("button", name="Acknowledge").press("Enter")
    expect(row).to_contain_text("acknowledged")
    page.wait_for_function(f"() => {focused} === '{name}'")

    page.goto("/retries")
    page.get_by_role("button", name=re.compile("Retry lost-2")).press("Enter")
    expect(page.get_by_role("button", name=re.compile("Retry lost-2"))).to_be_disabled()
    page.wait_for_function(f"() => {focused} === 'need-lost-2'")

    page.goto("/evaluations/runs")
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("main")).to_contain_text("cancelled")
    page.wait_for_function("() => document.activeElement.closest('.actions') !== null")

    page.goto("/handlers")
    page.get_by_role("button", name="Pause queue").press("Enter")
    expect(page.get_by_role("button", name="Resume queue")).to_be_focused()
