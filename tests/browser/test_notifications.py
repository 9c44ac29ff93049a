"""The page of notification channels: a test with its real outcome, and how each channel does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.helpers.pages import Visit
from tests.helpers.receivers import HttpReceiver
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser

SECRET = "T0-B0-secret-token"


@dataclass
class Setup:
    server: ServerProcess
    receiver: HttpReceiver


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A server that tells a real receiver, and one that nobody listens at."""
    with HttpReceiver() as receiver:
        channels = (
            f"ops slack {receiver.url}/services/{SECRET} for critical; "
            f"gone webhook http://127.0.0.1:9/{SECRET} for info on regressed"
        )
        with ServerProcess(
            tmp_path_factory.mktemp("server"),
            EVENTBUS_NOTIFY=channels,
            EVENTBUS_PUBLIC_URL="https://bus.example.org/",
        ) as server:
            yield Setup(server, receiver)


def test_a_test_shows_its_real_outcome_to_every_window(setup: Setup, visit: Visit) -> None:
    page = visit(setup.server, "/alerts")
    other = visit(setup.server, "/alerts/channels")
    page.get_by_role("link", name="Notifications").click()
    ops, gone = _channel(page, "ops"), _channel(page, "gone")
    expect(ops).to_contain_text("nothing sent yet")
    ops.get_by_role("button", name="Send test").click()
    expect(ops.get_by_role("status")).to_have_text(
        re.compile(r"Test by dashboard sent in .* the answer was\s+200 OK")
    )
    expect(ops.locator(".badge").first).to_have_text("working")
    expect(_channel(other, "ops").get_by_role("status")).to_contain_text("sent in")

    gone.get_by_role("button", name="Send test").click()
    expect(gone.get_by_role("status")).to_contain_text("127.0.0.1: Connection refused")
    expect(gone.locator(".badge").first).to_have_text("failing")
    rows = page.locator("table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("not sent")


def test_an_alert_is_told_and_no_secret_shows_anywhere(setup: Setup, visit: Visit) -> None:
    api = setup.server.new_api()
    page = visit(setup.server, "/alerts/channels")
    before = len(setup.receiver.taken)
    setup.receiver.answers = [(403, {}, f"no service {SECRET}".encode())]
    data = {"service": "judge", "error": {"type": "GoneError", "message": "<b>410</b>"}}
    api.publish("alert.critical", data)
    taken = setup.receiver.wait_for(before + 1)[-1]
    assert b"https://bus.example.org/alerts/alert-" in taken.body
    expect(page.locator("table tbody tr").first).to_contain_text("given up")
    expect(_channel(page, "ops")).to_contain_text("403 Forbidden: no service ***")
    dead = api.get("/api/deliveries", state="dead")
    wait_until(
        lambda: api.get("/api/deliveries", state="dead").json["deliveries"], "it is a dead letter"
    )
    page.get_by_role("link", name="1 dead letter").click()
    expect(page.get_by_text("notify-ops").first).to_be_visible()

    dead = api.get("/api/deliveries", state="dead")
    events = api.get("/api/events", type="notification.*", limit=1000)
    channels = api.get("/api/notifications")
    assert channels.json["channels"][0]["target"] == f"http://127.0.0.1:{setup.receiver.port}/…"
    texts = [dead.text, events.text, channels.text, setup.server.output(), page.content()]
    assert not any(SECRET in text for text in texts)


def test_the_api_tests_a_channel_and_says_what_went_wrong(setup: Setup) -> None:
    api = setup.server.new_api()
    assert api.post("/api/notifications/ops/test", {"by": "eva"}).json == {"answer": "200 OK"}
    failed = api.post("/api/notifications/gone/test")
    assert (failed.status, failed.json["detail"]) == (502, "127.0.0.1: Connection refused")
    assert api.post("/api/notifications/nobody/test").status == 404
    assert api.post("/api/notifications/ops/test", {"by": ""}).status == 400
    newest = api.get("/api/events", type="notification.failed").json["events"][0]["data"]
    assert (newest["is_test"], newest["by"]) == (True, "somebody")


def test_without_a_channel_the_page_says_how_to_have_one(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/alerts/channels")
    expect(page.get_by_role("heading", name="No channel is configured")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("EVENTBUS_NOTIFY=")
    answer = server.new_api().post("/api/notifications/ops/test")
    assert answer.status == 404


def _channel(page: Page, name: str) -> Locator:
    return page.locator(f"#channel-{name}")
