"""The alerts page: what can be done about an alert, who did it, and how it comes back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser


def test_occurrences_of_one_kind_are_one_alert_with_a_count(
    server: ServerProcess, visit: Visit
) -> None:
    for number in range(3):
        _raise(server, message=f"attempt {number}", eval_id=f"e-{number}")
    page = visit(server, "/alerts")
    row = _row(page, "RateLimitError")
    expect(row).to_contain_text("×3")
    expect(row).to_contain_text("attempt 2")
    expect(page.locator(".alert-row")).to_have_count(1)
    row.get_by_role("link", name="last event").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("alert.critical")


def test_an_alert_of_many_occurrences_leads_to_all_of_them(
    server: ServerProcess, visit: Visit
) -> None:
    server.new_api().publish("alert.critical", {"service": "other", "error": "it burns"})
    for number in range(21):
        _raise(server, message=f"attempt {number}", eval_id=f"e-{number}")
    (alert,) = (
        each
        for each in server.new_api().get("/api/alerts").json["alerts"]
        if each["error_type"] == "RateLimitError"
    )
    page = visit(server, f"/alerts/{alert['id']}")
    page.get_by_role("link", name="Search all of them").click()
    expect(page.get_by_role("region", name="Events found")).to_contain_text("21 events")


def test_an_alert_is_acknowledged_resolved_and_regresses(
    server: ServerProcess, visit: Visit
) -> None:
    _raise(server)
    page = visit(server, "/alerts")
    row = _row(page, "RateLimitError")
    expect(row).to_contain_text("open")
    expect(page.locator("[data-nav-count=alerts]")).to_have_text("1")

    row.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text("acknowledged by dashboard")
    expect(row.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(page.locator("[data-nav-count=alerts]")).to_be_hidden()
    assert server.new_api().counters()["open_alerts"] == 0

    row.get_by_role("button", name="Resolve").click()
    expect(row).to_contain_text("resolved by dashboard")
    expect(row.get_by_role("button")).to_have_count(0)

    _raise(server)
    page.reload()
    expect(_row(page, "RateLimitError")).to_contain_text("regressed")
    expect(page.locator("[data-nav-count=alerts]")).to_have_text("1")


@pytest.mark.parametrize(
    ("choice", "shown"),
    [("For 1 hour", r"ends in \S+"), ("For 24 hours", r"ends in \S+"),
     ("Until it gets worse", "until it gets worse")],
)  # fmt: skip
def test_an_alert_is_muted_and_speaks_again(
    server: ServerProcess, visit: Visit, choice: str, shown: str
) -> None:
    _raise(server)
    page = visit(server, "/alerts")
    row = _row(page, "RateLimitError")
    row.get_by_text("Mute…").click()
    row.get_by_role("button", name=choice).click()
    expect(row).to_contain_text("muted by dashboard")
    expect(row).to_contain_text(re.compile(shown))
    assert server.new_api().counters()["open_alerts"] == 0
    row.get_by_role("button", name="Unmute").click()
    expect(row.locator(".badge").first).to_have_text("open")


def test_a_decision_is_an_event_in_the_log(server: ServerProcess, visit: Visit) -> None:
    _raise(server)
    page = visit(server, "/alerts")
    page.get_by_role("button", name="Acknowledge").click()
    expect(_row(page, "RateLimitError")).to_contain_text("acknowledged")
    page.goto("/events?type=alert.acknowledged")
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator(".row-summary")).to_have_text("by dashboard")


def test_tabs_show_one_state_and_the_list_keeps_to_it_after_a_decision(
    server: ServerProcess, visit: Visit
) -> None:
    _raise(server)
    _raise(server, kind="TimeoutError")
    page = visit(server, "/alerts")
    page.get_by_role("link", name="Open 2").click()
    page.wait_for_url("**state=open")
    expect(page.locator(".alert-row")).to_have_count(2)
    _row(page, "TimeoutError").get_by_role("button", name="Resolve").click()
    expect(page.locator(".alert-row")).to_have_count(1)
    expect(page.get_by_role("link", name="Open 1")).to_be_visible()
    page.get_by_role("link", name="Resolved").click()
    expect(_row(page, "TimeoutError")).to_be_visible()
    page.get_by_role("link", name="Muted").click()
    expect(page.get_by_role("heading", name="No alert is muted")).to_be_visible()


def test_the_mute_menu_is_usable_by_keyboard(server: ServerProcess, visit: Visit) -> None:
    _raise(server)
    page = visit(server, "/alerts")
    summary = page.locator(".alert-row details.menu > summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="For 1 hour")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="For 1 hour")).to_be_hidden()
    expect(summary).to_be_focused()


def test_a_menu_that_is_opened_while_the_list_is_asked_for_stays_open(
    server: ServerProcess, visit: Visit
) -> None:
    _raise(server)
    page = visit(server, "/alerts")
    row = _row(page, "RateLimitError")
    page.evaluate(
        """() => new Promise(done => {
            document.addEventListener("htmx:finally:request", () => done(), { once: true })
            document.querySelector("#alert-list").dispatchEvent(new CustomEvent("refresh:now"))
            document.querySelector("#alert-list details.menu").open = true
        })"""
    )
    row.get_by_role("button", name="For 1 hour").click()
    expect(row).to_contain_text("muted by dashboard")
    _raise(server, kind="TimeoutError")
    expect(_row(page, "TimeoutError")).to_be_visible()


def test_an_alert_that_is_gone_from_the_log_is_not_found(
    server: ServerProcess, visit: Visit
) -> None:
    _raise(server)
    page = visit(server, "/alerts", java_script_enabled=False)
    row = _row(page, "RateLimitError")
    form = row.locator("form", has=page.get_by_role("button", name="Acknowledge"))
    form.evaluate("form => { form.action = '/alerts/alert-unknown/acknowledge' }")
    row.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No such alert")


def test_without_scripts_the_buttons_work_and_lead_back_to_the_list(
    server: ServerProcess, visit: Visit
) -> None:
    _raise(server)
    page = visit(server, "/alerts?state=open", java_script_enabled=False)
    _row(page, "RateLimitError").get_by_role("button", name="Acknowledge").click()
    page.wait_for_url("**/alerts?state=open")
    expect(page.get_by_role("heading", name="No alert is open")).to_be_visible()


def test_a_form_of_another_site_is_refused(server: ServerProcess, visit: Visit) -> None:
    _raise(server)
    alert = server.new_api().get("/api/alerts").json["alerts"][0]
    page = visit(server, "/alerts")
    page.route(
        "http://elsewhere.test/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method="post" action="{server.url}/alerts/{alert["id"]}/resolve">'
            "<button>Win</button></form>",
        ),
    )
    page.goto("http://elsewhere.test/")
    page.get_by_role("button", name="Win").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Other origin")
    assert server.new_api().counters()["open_alerts"] == 1


def test_the_way_back_after_a_form_stays_on_this_site(server: ServerProcess) -> None:
    _raise(server)
    alert = server.new_api().get("/api/alerts").json["alerts"][0]
    for wanted in ("https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"):
        answer = server.new_api().request(
            "POST",
            f"/alerts/{alert['id']}/acknowledge",
            f"next={wanted}",
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 303
        assert answer.headers["location"] == "/alerts"


def _raise(
    server: ServerProcess,
    kind: str = "RateLimitError",
    message: str = "429 Too Many Requests",
    eval_id: str = "e-1",
) -> None:
    data = {"service": "runner", "error": {"type": kind, "message": message}, "eval_id": eval_id}
    server.new_api().publish("alert.critical", data)


def _row(page: Page, kind: str) -> Locator:
    return page.locator(".alert-row", has=page.get_by_text(kind, exact=True))
