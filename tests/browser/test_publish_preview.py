"""The publish page before and after sending: what would happen, later, again, never lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_what_would_happen_is_shown_while_typing_and_nothing_does(
    bus: ServerProcess, visit: Visit
) -> None:
    api = bus.new_api()
    api.publish("evaluation.started", {"eval_id": "pre-1"})
    before = api.get("/api/stats").json
    page = visit(bus, "/publish")
    error = '{"type": "Cuda<b>", "severity": "critical"}'
    write(page, "evaluation.failed", f'{{"eval_id": "pre-1", "error": {error}}}')
    future = page.get_by_role("region", name="What would happen")
    expect(future.locator(".chain-what")).to_have_text(
        [re.compile("evaluation.failed"), re.compile("alert.critical"),
         re.compile("evaluation.retry")]
    )  # fmt: skip
    expect(future.locator(".stories li").filter(has_text="Evaluation pre-1")).to_contain_text(
        re.compile(r"state\s+active.*→\s+retrying", re.DOTALL)
    )
    expect(future).to_contain_text("nothing is published")
    write(page, "evaluation.failed", '{"eval_id": 7.5}')
    expect(future).to_contain_text("MalformedEventError")
    expect(future).to_contain_text("it would be a dead letter at once")
    page.get_by_label("Type", exact=True).fill("evaluation..failed")
    expect(future).to_contain_text("Not tried out: type: ")
    after = api.get("/api/stats").json
    assert (after["sequence"], after["counters"]) == (before["sequence"], before["counters"])


def test_what_was_typed_survives_a_reload_and_another_start(
    bus: ServerProcess, visit: Visit
) -> None:
    page = visit(bus, "/publish")
    write(page, "vendor.thing", '{"half": ')
    page.reload()
    data = page.get_by_label("Data, a JSON object")
    expect(data).to_have_value('{"half": ')
    expect(page.get_by_text("This is what you had typed here before.")).to_be_visible()
    page.goto("/publish?type=alert.critical")
    expect(data).to_have_value(re.compile("DiskFull"))
    expect(page.get_by_text("What you had typed (vendor.thing) was not sent")).to_be_visible()
    page.get_by_role("button", name="Bring it back").click()
    expect(data).to_have_value('{"half": ')
    expect(page.get_by_label("Type", exact=True)).to_have_value("vendor.thing")


def test_what_was_sent_can_be_taken_up_again(bus: ServerProcess, visit: Visit) -> None:
    page = visit(bus, "/publish")
    write(page, "vendor.recent", '{"n": 1}')
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("Recorded as")
    page.goto("/publish?type=alert.critical")
    write(page, "vendor.begun", '{"n": 2}')
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("Recorded as")
    page.reload()
    expect(page.get_by_label("Type", exact=True)).to_have_value("vendor.begun")
    expect(page.get_by_text("This is what you had published from here last.")).to_be_visible()
    page.get_by_role("button", name=re.compile("vendor.recent")).click()
    expect(page.get_by_label("Data, a JSON object")).to_have_value('{"n": 1}')
    page.get_by_role("button", name="Forget them").click()
    expect(page.get_by_role("region", name="Sent from this browser")).to_be_hidden()


def test_an_event_for_later_waits_and_is_taken_back_or_recorded(
    bus: ServerProcess, visit: Visit
) -> None:
    page = visit(bus, "/publish", timezone_id="Asia/Tokyo")
    receipt = page.get_by_role("region", name="Receipt")
    write(page, "vendor.later", "{}")
    page.get_by_text("Source, subject, id, later").click()
    page.get_by_label("At", exact=True).fill("2031-05-01 18:00")
    page.get_by_role("button", name="Publish").click()
    expect(receipt).to_contain_text("Scheduled")
    (waiting,) = bus.new_api().get("/api/scheduled").json["scheduled"]
    assert waiting["at"] == "2031-05-01T09:00:00.000000Z"  # the browser's time, not the server's
    page.get_by_role("button", name="Take it back").click()
    expect(receipt).to_contain_text("Taken back")
    assert bus.new_api().get("/api/scheduled").json["scheduled"] == []

    page.get_by_label("At", exact=True).fill("")
    page.get_by_label("Delay in seconds").fill("soon")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_label("Delay in seconds")).to_have_accessible_description(
        re.compile("must be seconds from 0")
    )
    page.get_by_label("Delay in seconds").fill("1.5")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.get_by_role("button", name="Publish").click()
    assert "waits" in answered.value.text()
    expect(receipt).to_contain_text("Recorded as")


def test_it_is_repeated_with_ids_of_their_own_and_can_be_stopped(
    bus: ServerProcess, visit: Visit
) -> None:
    api = bus.new_api()
    page = visit(bus, "/publish")
    write(page, "vendor.again", '{"n": {{n}}}')
    page.get_by_text("Source, subject, id, later").click()
    page.get_by_label("Id", exact=True).fill("again")
    page.get_by_text("Repeat up to 1,000 times").click()
    page.get_by_role("spinbutton", name="Times").fill("7")
    page.get_by_label("Per second").fill("100")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("[data-repeat-state]")).to_contain_text("Done: 7 of 7 published")
    found = api.get("/api/events", type="vendor.again", order="asc").json["events"]
    assert [event["data"]["n"] for event in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [event["id"] for event in found] == [f"again-{n}" for n in range(1, 8)]

    page.get_by_label("Type", exact=True).fill("vendor.many")
    page.get_by_role("spinbutton", name="Times").fill("5000")
    page.get_by_label("Per second").fill("5")
    page.get_by_role("button", name="Begin").click()
    wait_until(lambda: api.get("/api/events", type="vendor.many").json["events"], "it has begun")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-repeat-state]")).to_contain_text(
        re.compile(r"Stopped: \d+ of 1000 published")
    )
    page.get_by_label("Data, a JSON object").fill('{"n": ')
    page.get_by_role("button", name="Begin").click()
    expect(page.locator("[data-repeat-state]")).to_contain_text("Ended after 0 of 1000")


def test_curl_and_python_are_tabs_for_the_keyboard(bus: ServerProcess, visit: Visit) -> None:
    page = visit(bus, "/publish")
    write(page, "vendor.tabs", '{"a": 1}')
    page.get_by_role("tab", name="cURL").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Python")).to_contain_text("'vendor.tabs'")
    expect(page.get_by_role("tabpanel", name="cURL")).to_be_hidden()
    expect(page.get_by_role("tab", name="Python")).to_be_focused()


def write(page: Page, type: str, data: str) -> None:
    page.get_by_label("Type", exact=True).fill(type)
    page.get_by_label("Data, a JSON object").fill(data)
