"""Open critical alerts are seen from another tab: in title, favicon, and a notification."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser

# Chromium without a window shows no notification, so the page's own are kept to be looked at.
_KEEP = """permission => {
    window.kept = []
    window.Notification = class {
        static permission = 'default'
        static requestPermission() {
            Notification.permission = permission
            return Promise.resolve(permission)
        }
        constructor(title, options) { window.kept.push([title, options.body]) }
        close() {}
    }
    Object.defineProperty(document, 'hidden', { get: () => true })
}"""


def test_title_and_favicon_count_open_critical_alerts_until_somebody_takes_them(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    expect(page).to_have_title("Live · Event Bus")
    icon = page.locator("link[rel=icon]")
    expect(icon).to_have_attribute("href", "/static/icons/favicon.svg")
    _raise(server, "gpu")
    expect(page).to_have_title("(1) Live · Event Bus")
    expect(icon).to_have_attribute("href", "/static/icons/favicon-alert.svg")
    server.new_api().publish("alert.warning", {"service": "disk", "error": "slow"})
    _raise(server, "network")
    expect(page).to_have_title("(2) Live · Event Bus")
    expect(page.locator("#announce")).to_contain_text("New critical alert")
    later = _open(visit, server, "/?type=alert.*")
    expect(later).to_have_title("(2) Live · alert.* · Event Bus")
    for left in ("(1) Live · Event Bus", "Live · Event Bus"):
        page.get_by_role("button", name="Acknowledge").first.click()
        expect(page).to_have_title(left)
    expect(icon).to_have_attribute("href", "/static/icons/favicon.svg")
    expect(later).to_have_title("Live · alert.* · Event Bus")


def test_the_other_pages_show_open_critical_alerts_too_and_follow_them(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish")
    icon = page.locator("link[rel=icon]")
    expect(page).to_have_title("Publish · Event Bus")
    _raise(server, "gpu")
    wait_until(lambda: server.new_api().counters()["open_alerts"] == 1, "the alert is open")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # somebody looks again
    expect(page).to_have_title("(1) Publish · Event Bus")
    expect(icon).to_have_attribute("href", "/static/icons/favicon-alert.svg")
    expect(page.locator("[data-nav-count=alerts]")).to_have_text("1")
    page.goto("/handlers")
    expect(page).to_have_title("(1) Handlers · Event Bus")
    expect(icon).to_have_attribute("href", "/static/icons/favicon-alert.svg")


def test_a_notification_comes_only_when_it_was_asked_for_and_is_remembered(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    page.evaluate(_KEEP, "granted")
    _raise(server, "before")
    expect(page).to_have_title("(1) Live · Event Bus")
    assert page.evaluate("kept") == []
    button = page.get_by_role("button", name="Notify this browser")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    _raise(server, "gpu")
    expect(page).to_have_title("(2) Live · Event Bus")
    assert page.evaluate("kept") == [["Critical alert: gpu", "Burning it burns"]]
    _raise(server, "gpu")
    expect(page.locator("#alerts")).to_contain_text("×2")
    assert len(page.evaluate("kept")) == 1
    assert page.evaluate("localStorage.getItem('notify-of-alerts')") == "true"
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    _raise(server, "network")
    expect(page).to_have_title("(3) Live · Event Bus")
    assert len(page.evaluate("kept")) == 1


def test_a_browser_that_blocks_notifications_says_so(server: ServerProcess, visit: Visit) -> None:
    page = _open(visit, server)
    page.evaluate(_KEEP, "denied")
    button = page.get_by_role("button", name="Notify this browser")
    button.click()
    expect(page.get_by_text("blocked in this browser's settings")).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "false")


def _open(visit: Visit, server: ServerProcess, path: str = "/") -> Page:
    page = visit(server, path)
    page.locator("#connection[data-state=live]").wait_for()
    return page


def _raise(server: ServerProcess, service: str) -> None:
    error = {"type": "Burning", "message": "it burns"}
    server.new_api().publish("alert.critical", {"service": service, "error": error})


def test_three_alerts_are_seen_in_whole_and_a_link_says_how_many_there_are(
    server: ServerProcess, visit: Visit
) -> None:
    for service in ("gpu", "disk", "network"):
        _raise(server, service)
    page = _open(visit, server)
    alarms, more = page.locator("#alerts .alarm"), page.locator("#alarm-more")
    expect(page.locator("#alerts .alarm:visible")).to_have_count(3)
    expect(more).to_be_hidden()
    _raise(server, "scheduler")
    expect(more).to_have_text("All 4 critical alerts")
    expect(page.locator("#alerts .alarm:visible")).to_have_count(3)
    expect(alarms.first).to_contain_text("scheduler")
    assert page.locator("#alerts").evaluate("list => list.scrollHeight - list.clientHeight") <= 0
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator("#alerts .alarm:visible")).to_have_count(2)
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(more).to_have_text("All 3 critical alerts")
    expect(page.locator("#alerts")).not_to_contain_text("scheduler")
    more.click()
    expect(page.locator("#alert-list li[id]")).to_have_count(3)
