"""Alerts in several windows: deciding about many at once, the page of one, filters, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests here: each has services of its own."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_what_is_decided_about_many_shows_in_all_windows_at_once(
    shared: ServerProcess, visit: Visit
) -> None:
    for number in range(3):
        _raise(shared, "bulk", f"Bulk{'ABC'[number]}Error")
    first = visit(shared, "/alerts")
    second = visit(shared, "/alerts?state=open")
    # Without its interval: what it shows from here on comes because of the WebSocket.
    second.evaluate("for (let id = 0; id < 1000; id++) clearInterval(id)")
    expect(_row(second, "BulkAError")).to_be_visible()
    followed = 'eventbus_websockets{kind="json"} 2.0'
    wait_until(lambda: followed in shared.new_api().get("/metrics").text, "both follow")

    first.keyboard.press("j")  # the newest, C
    first.keyboard.press("x")
    expect(first.locator("[data-pick-count]")).to_have_text(re.compile(r"1 of \d+ picked"))
    _row(first, "BulkAError").get_by_role("checkbox").click(modifiers=["Shift"])
    expect(first.locator("[data-pick-count]")).to_have_text(re.compile(r"3 of \d+ picked"))
    _row(first, "BulkBError").get_by_role("checkbox").click()
    # A new occurrence morphs the list: what is picked stays picked.
    _raise(shared, "bulk", "BulkBError")
    expect(_row(first, "BulkBError")).to_contain_text("×2")
    expect(first.locator("[data-pick-count]")).to_have_text(re.compile(r"2 of \d+ picked"))

    first.locator("#picked").get_by_role("button", name="Acknowledge").click()
    expect(first.get_by_role("status")).to_have_text("2 alerts acknowledged")
    expect(_row(first, "BulkCError")).to_contain_text("acknowledged by dashboard")
    expect(first.locator(".picked-bar")).to_be_hidden()
    expect(_row(second, "BulkAError")).to_have_count(0)
    expect(_row(second, "BulkBError")).to_be_visible()

    _row(first, "BulkAError").get_by_role("checkbox").click()
    _row(first, "BulkBError").get_by_role("checkbox").click()
    first.locator("#picked").get_by_role("button", name="Mute until worse").click()
    for kind in ("BulkAError", "BulkBError"):
        expect(_row(first, kind)).to_contain_text("until it gets worse")
    first.keyboard.press("Escape")
    muted = shared.new_api().get("/api/alerts", state="muted").json["alerts"]
    assert {a["error_type"] for a in muted} == {"BulkAError", "BulkBError"}


def test_the_page_of_one_alert_tells_its_story_and_takes_decisions(
    shared: ServerProcess, visit: Visit
) -> None:
    api = shared.new_api()
    api.publish("evaluation.started", {"eval_id": "story-1", "task": "gsm8k"})
    _raise(shared, "story", "StoryError", eval_id="story-1", message="the first time")
    _raise(shared, "story", "StoryError", eval_id="story-2", message="the second time")
    id = next(
        a["id"] for a in api.get("/api/alerts").json["alerts"] if a["error_type"] == "StoryError"
    )
    api.post(f"/api/alerts/{id}/resolve", {"by": "eva"})
    _raise(shared, "story", "StoryError", eval_id="story-1", message="the third time")

    listing = visit(shared, "/alerts")
    _row(listing, "StoryError").get_by_role("link", name="story StoryError").click()
    expect(listing.get_by_role("heading", level=1)).to_have_text(re.compile("story.*StoryError"))
    page = visit(shared, f"/alerts/{id}")
    history = page.locator(".alert-history li")
    expect(history).to_have_text(
        [re.compile("regressed as critical"), re.compile("resolved by eva"),
         re.compile("raised as critical")]
    )  # fmt: skip
    expect(page.get_by_role("img", name=re.compile("3 occurrences in 24 hours"))).to_be_visible()
    occurrences = page.locator(".alert-occurrences tbody tr")
    expect(occurrences).to_have_count(3)
    expect(occurrences.first).to_contain_text("the third time")
    related = page.get_by_role("region", name="Evaluations").locator("tbody tr")
    expect(related.first).to_contain_text("story-1")
    expect(related.first).to_contain_text("active")

    page.get_by_role("button", name="Acknowledge").click()
    expect(history.first).to_contain_text("acknowledged by dashboard")
    expect(listing.locator(".alert-history li")).to_have_count(4)  # the other window follows
    history.nth(2).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("alert.resolved")
    page.goto("/alerts/alert-unknown")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such alert")


def test_filters_stand_in_the_address_and_a_quiet_alert_is_said_to_be(
    shared: ServerProcess, visit: Visit
) -> None:
    _raise(shared, "filter", "LoudError")
    _raise(shared, "filter", "QuietError", kind="warning", age=timedelta(hours=3))
    page = visit(shared, "/alerts")
    expect(_row(page, "QuietError").get_by_text("quiet", exact=True)).to_be_visible()
    expect(_row(page, "LoudError").get_by_text("quiet", exact=True)).to_have_count(0)
    page.get_by_role("link", name="warning", exact=True).click()
    page.wait_for_url("**/alerts?severity=warning")
    expect(_row(page, "LoudError")).to_have_count(0)
    page.get_by_role("link", name="quiet", exact=True).click()
    page.wait_for_url("**/alerts?severity=warning&quiet=yes")
    _row(page, "QuietError").get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("heading", name="No alert matches")).to_be_visible()
    page.get_by_role("link", name="Clear filters").click()
    page.wait_for_url("**/alerts")
    expect(_row(page, "QuietError")).to_contain_text("resolved")


def test_who_decides_is_named_and_the_name_stays_in_this_browser(
    shared: ServerProcess, visit: Visit
) -> None:
    _raise(shared, "named", "NamedError")
    page = visit(shared, "/alerts")
    page.get_by_text("Decisions by").click()
    page.get_by_label("Your name").fill("Åsa Öberg")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Decisions by Åsa Öberg")).to_be_visible()
    _row(page, "NamedError").get_by_role("button", name="Resolve").click()
    expect(_row(page, "NamedError")).to_contain_text("resolved by Åsa Öberg")
    other = visit(shared, "/alerts")
    expect(other.get_by_text("Decisions by dashboard")).to_be_visible()


def test_without_scripts_several_alerts_are_decided_about(
    shared: ServerProcess, visit: Visit
) -> None:
    _raise(shared, "plain", "PlainError")
    page = visit(shared, "/alerts?state=open", java_script_enabled=False)
    _row(page, "PlainError").get_by_role("checkbox").check()
    page.locator("#picked").get_by_role("button", name="Mute 1 h").click()
    page.wait_for_url("**/alerts?state=open")
    expect(_row(page, "PlainError")).to_have_count(0)
    page.locator("#picked").get_by_role("button", name="Resolve").click()  # nothing is picked
    expect(page.get_by_text("1 to 500 ids of alerts, not 0 of them").first).to_be_visible()


def _raise(
    server: ServerProcess,
    service: str,
    error_type: str,
    kind: str = "critical",
    message: str = "it broke",
    eval_id: str | None = None,
    age: timedelta = timedelta(),
) -> None:
    error = {"type": error_type, "message": message}
    server.new_api().publish(
        f"alert.{kind}",
        {"service": service, "error": error, "eval_id": eval_id},
        time=(datetime.now(UTC) - age).isoformat(),
    )


def _row(page: Page, kind: str) -> Locator:
    return page.locator(".alert-row", has=page.get_by_text(kind, exact=True))
