"""The page of one event: its payload unfolds, its chain grows, it can be taken away."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import within

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_the_payload_unfolds_by_key_and_any_path_is_copied(
    bus: ServerProcess, visit: Visit
) -> None:
    data = {"error": {"frames": [{"file <b>": "a.py", "line": 3}]}, "note": "x" * 2_000}
    sequence = bus.new_api().publish("vendor.tree", data)["sequence"]
    page = visit(bus, f"/events/at/{sequence}", permissions=["clipboard-read", "clipboard-write"])
    payload = page.get_by_role("region", name=re.compile("Payload"))
    leaf = payload.locator(".tree-leaf", has_text="file <b>")
    expect(leaf).to_have_text('file <b> "a.py"')
    payload.locator("summary", has_text="0 {2}").focus()
    page.keyboard.press("Enter")
    expect(leaf).to_be_hidden()
    page.keyboard.press("Enter")
    expect(leaf).to_be_visible()
    payload.get_by_role("button", name='Copy path error.frames[0]["file <b>"]').focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        """async () => await navigator.clipboard.readText() === 'error.frames[0]["file <b>"]'"""
    )
    payload.locator("summary", has_text="2 000 characters").click()
    expect(payload.get_by_role("group", name="whole text")).to_have_text("x" * 2_000)
    payload.get_by_text("As it was recorded").click()
    expect(payload.get_by_role("group", name="raw payload")).to_have_text(
        json.dumps(data, separators=(",", ":"))
    )


def test_a_large_payload_is_there_at_once_and_unfolds_in_parts(
    bus: ServerProcess, visit: Visit
) -> None:
    rows = [{"id": n, "text": "y" * 60} for n in range(2_600)]
    sequence = bus.new_api().publish("vendor.large", {"rows": rows})["sequence"]
    took_s = []
    for _ in range(3):  # the machine may have had something else to do in one of them
        began = time.monotonic()
        answer = bus.new_api().get(f"/events/at/{sequence}")
        took_s.append(time.monotonic() - began)
    assert min(took_s) < within(2.0)
    assert len(answer.text) < 200_000
    page = visit(bus, f"/events/at/{sequence}")
    payload = page.get_by_role("region", name=re.compile("Payload"))
    payload.locator("summary", has_text="rows [2600]").click()
    expect(payload.locator("summary", has_text="99 {2}")).to_be_visible()
    payload.get_by_role("button", name="2 500 more").click()
    row = payload.locator("summary", has_text="150 {2}")
    expect(row).to_be_visible()
    row.click()
    expect(payload.locator(".tree-leaf", has_text="id 150")).to_be_visible()
    expect(page.locator("#take-curl")).to_contain_text("Too long to show here")
    payload.get_by_text("As it was recorded").click()
    expect(payload.get_by_role("group", name="raw payload")).to_contain_text('{"rows":[{"id":0,')


def test_the_chain_grows_while_the_page_is_open(bus: ServerProcess, visit: Visit) -> None:
    api = bus.new_api()
    first = api.publish("vendor.order", {"n": 1})
    page = visit(bus, f"/events/at/{first['sequence']}")
    chain = page.get_by_role("region", name=re.compile("Chain"))
    expect(chain.get_by_role("heading")).to_contain_text("1 event")
    page.get_by_role("tab", name="pytest").focus()
    caused = {
        "type": "vendor.order.packed", "data": {}, "causationid": first["id"],
        "correlationid": first["id"],
    }  # fmt: skip
    assert api.post("/api/events", caused).status == 202
    expect(chain.get_by_role("heading")).to_contain_text("2 events")
    expect(chain.locator(".chain .chain .chain-when")).to_contain_text(re.compile(r"\+.*m?s"))
    expect(page.get_by_role("tab", name="pytest")).to_be_focused()


def test_it_is_taken_away_in_four_forms(bus: ServerProcess, visit: Visit) -> None:
    error = {"type": "Cuda", "severity": "critical"}
    event = bus.new_api().publish("evaluation.failed", {"eval_id": "take-1", "error": error})
    page = visit(bus, f"/events/at/{event['sequence']}")
    expect(page.get_by_role("tabpanel", name="cURL")).to_contain_text("curl -X POST")
    for tab, text in [
        ("Python", "RemoteEventBus"),
        ("pytest", "def test_evaluation_failed_has_the_same_consequences"),
        ("NDJSON", "a CloudEvent a line"),
    ]:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab)).to_contain_text(text)
    with page.expect_download() as download:
        page.get_by_role("tabpanel", name="NDJSON").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"chain-{event['sequence']}.ndjson"
