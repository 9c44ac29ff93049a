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


def test_a_filter_that_was_sent_keeps_the_focus_also_when_it_was_refused(
    server: ServerProcess, visit: Visit
) -> None:
    server.api.publish("evaluation.started", {"eval_id": "seen"})
    page = visit(server)
    page.locator("#connection[data-state=live]").wait_for()
    field = page.locator("[data-filter]")
    page.keyboard.press("/")
    page.keyboard.type("evaluation.*")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?type=evaluation.*")
    expect(field).to_be_focused()
    page.keyboard.type("x")  # at the end, and no shortcut
    page.keyboard.press("Enter")
    expect(page.locator("#filter-error")).to_be_visible()
    expect(field).to_be_focused()
    expect(field).to_have_value("evaluation.*x")

    page.goto("/events")
    page.get_by_label("Text").fill("seen")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=seen*")
    expect(page.get_by_label("Text")).to_be_focused()


def test_back_from_an_event_one_is_at_its_row_again(server: ServerProcess, visit: Visit) -> None:
    for number in range(3):
        server.api.publish("evaluation.started", {"eval_id": f"back-{number}"})
    page = visit(server, "/events")
    for key in ("j", "j"):
        page.keyboard.press(key)
    row = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{row}")
    page.go_back(wait_until="commit")  # it may lead on to where the row is
    page.wait_for_function(f"() => document.activeElement.getAttribute('href') === '{row}'")
    page.keyboard.press("k")
    expect(page.locator("#content .row-link").first).to_be_focused()


def test_no_ring_is_drawn_round_a_whole_page(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/webhooks")
    page.get_by_label("Name").fill("shop")
    page.get_by_role("textbox", name="Events").fill("order.*")
    page.get_by_label("URL").fill("https://shop.test/hooks")
    page.get_by_role("button", name="Add webhook").click()
    expect(page.get_by_text("shown only now")).to_be_visible()
    expect(page.get_by_role("main")).to_have_css("outline-style", "none")
