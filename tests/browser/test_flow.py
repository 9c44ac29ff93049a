"""The flow page and the handlers' pages: figures, keys, what fails, pausing, delivering again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from eventbus import RemoteEventBus
from tests.helpers.bus import LONG_S
from tests.helpers.pages import IMPATIENT, Visit, go, refresh
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser

TROUBLE = "tests.helpers.trouble:app"
FORM = {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def flowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on which events of five families were handled, and all of one failed."""
    with ServerProcess(tmp_path_factory.mktemp("server"), TROUBLE, **IMPATIENT) as server:
        events = [{"type": "evaluation.started", "data": {"eval_id": f"e-{n}"}} for n in range(4)]
        events += [{"type": "storage.file.created", "data": {"bytes": 1}} for _ in range(3)]
        events += [{"type": "trouble.flaky", "data": {"n": n}} for n in range(20)]
        events += [{"type": "vendor.thing", "data": {}}]
        server.new_api().post("/api/events", events)
        wait_for_edge(server, "type:trouble.flaky", "handler:flaky", 20)
        failing = ("type:storage.file.created", "handler:storage")
        wait_until(lambda: edge(server, *failing).get("failures") == 3, "failures are counted")
        wait_for_edge(server, "handler:flaky", "type:trouble.counted", 20)
        yield server


def edge(server: ServerProcess, source: str, target: str) -> dict[str, int]:
    edges = server.new_api().get("/api/flow", window="1h").json["edges"]
    found = (each for each in edges if (each["from"], each["to"]) == (source, target))
    return next(found, {})


def wait_for_edge(server: ServerProcess, source: str, target: str, count: int) -> None:
    wait_until(lambda: edge(server, source, target).get("count") == count, f"{count} are counted")


def test_the_graph_says_its_figures_and_leads_to_the_events(
    flowing: ServerProcess, visit: Visit
) -> None:
    page = visit(flowing, "/")
    go(page, "f")
    page.wait_for_url("**/flow")
    line = page.get_by_role("link", name=re.compile("^trouble.flaky → flaky: 20 handled"))
    expect(line).to_have_attribute("data-state", "active")
    line.focus()
    says = page.locator("[data-flow-says]")
    for _ in range(2):
        expect(says).to_contain_text("20 handled")
        expect(says).to_contain_text("p95")
        expect(page.locator(".flow-graph")).to_have_class(re.compile("is-pointed"))
        refresh(page, "#flow")  # which the line stays pointed at over
    row = page.get_by_role("row", name=re.compile("trouble.flaky flaky [0-9]"))
    expect(row).to_contain_text("20")
    expect(page.get_by_text("Recorded, and nobody handles them:")).to_be_visible()
    expect(page.locator(".flow-loose")).to_contain_text("vendor.thing")
    page.keyboard.press("Enter")
    page.wait_for_url("**/flow/edge?**")
    expect(page.get_by_role("row")).to_have_count(21)
    page.locator(".row-main").first.click()
    page.wait_for_url("**/events/at/*")


def test_arrow_keys_walk_from_box_to_box(flowing: ServerProcess, visit: Visit) -> None:
    page = visit(flowing, "/flow")
    page.get_by_role("link", name=re.compile("^trouble.flaky:")).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name=re.compile("^handler flaky:"))).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-flow-says]")).to_contain_text(re.compile("^trouble.counted: 20"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/handlers/flaky?**")


def test_what_fails_is_red_and_leads_to_what_failed(flowing: ServerProcess, visit: Visit) -> None:
    page = visit(flowing, "/flow?window=1h")
    line = page.get_by_role("link", name=re.compile("^storage.file.created → storage"))
    expect(line).to_have_attribute("data-state", "failing")
    label = page.locator(f"[data-of='{line.get_attribute('id')}']")
    expect(label).to_have_text("3 failed")
    row = page.get_by_role("row", name=re.compile("storage.file.created storage"))
    row.get_by_role("link", name="3", exact=True).click()
    page.wait_for_url("**only=failed**")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("tbody tr").first).to_contain_text("dead")


def test_a_graph_that_is_wider_than_the_screen_says_so(
    flowing: ServerProcess, visit: Visit
) -> None:
    page = visit(flowing, "/flow", viewport={"width": 360, "height": 740})
    expect(page.get_by_text("The graph is wider than this screen")).to_be_visible()
    expect(page.locator(".flow-table").first.locator("[data-label=last]").first).to_be_visible()
    graph = page.locator("[data-flow]")
    expect(graph).to_have_class(re.compile("is-more-right"))
    graph.evaluate("graph => { graph.scrollLeft = graph.scrollWidth; }")
    expect(graph).to_have_class(re.compile("is-more-left"))
    expect(graph).not_to_have_class(re.compile("is-more-right"))
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_text("The graph is wider than this screen")).to_be_hidden()


def test_the_window_of_time_is_in_the_address(flowing: ServerProcess, visit: Visit) -> None:
    page = visit(flowing, "/flow")
    page.get_by_role("link", name="5 min", exact=True).click()
    page.wait_for_url("**/flow?window=5m")
    page.goto("/flow?since=5m")
    expect(page.get_by_role("link", name="5 min", exact=True)).to_have_attribute(
        "aria-current", "page"
    )
    page.get_by_label("From", exact=True).fill("2026-01-01 00:00")
    page.get_by_label("To", exact=True).fill("2026-01-01 01:00")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**since=2026-01-01**")
    line = page.get_by_role("link", name=re.compile("^trouble.flaky → flaky: 0 handled"))
    expect(line).to_have_attribute("data-state", "quiet")
    page.get_by_label("From", exact=True).fill("tomorrow")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**since=tomorrow**")
    expect(page.get_by_label("From", exact=True)).to_have_accessible_description(
        re.compile("is not a time")
    )
    expect(page.get_by_label("From", exact=True)).to_have_value("tomorrow")


def test_many_types_fold_into_families_that_unfold(flowing: ServerProcess, visit: Visit) -> None:
    many = [{"type": f"evaluation.kind{n}", "data": {}} for n in range(25)]
    flowing.new_api().post("/api/events", many)
    last = ("type:evaluation.kind24", "handler:evaluation")
    wait_until(lambda: edge(flowing, *last), "all of them are counted")
    page = visit(flowing, "/flow")
    family = page.get_by_role("link", name=re.compile(r"^evaluation\.\*: \d+ types"))
    expect(family).to_be_visible()
    expect(page.locator(".flow-node[data-kind=type]")).not_to_have_count(0)
    family.click()
    page.wait_for_url("**open=evaluation**")
    expect(page.get_by_role("link", name=re.compile("^evaluation.kind24:"))).to_be_visible()


def test_a_handler_is_paused_and_resumed_with_a_reason_also_over_a_restart(
    flowing: ServerProcess, visit: Visit
) -> None:
    handled = edge(flowing, "type:trouble.flaky", "handler:flaky")["count"]
    page = visit(flowing, "/handlers")
    page.get_by_role("link", name="flaky", exact=True).click()
    page.wait_for_url("**/handlers/flaky**")
    page.get_by_label("Reason", exact=True).first.fill("a bad release")
    page.get_by_role("button", name="Pause flaky").click()
    expect(page.get_by_text("by dashboard: a bad release").first).to_be_visible()
    flowing.new_api().post("/api/events", [{"type": "trouble.flaky"} for _ in range(3)])
    expect(page.locator("[data-figure=lag]")).to_have_text("3")
    page.goto("about:blank")
    flowing.stop()
    flowing.start()
    page.goto("/handlers")
    row = page.get_by_role("row", name=re.compile("^flaky "))
    expect(row).to_contain_text("paused")
    expect(row.locator("[data-label=lag]")).to_have_text("3")
    row.get_by_role("button", name="Resume flaky").click()
    expect(page.get_by_role("row", name=re.compile("^flaky "))).to_contain_text("serving")
    expect(page.get_by_role("row", name=re.compile("^flaky ")).locator("[data-label=lag]")
           ).to_have_text("0")  # fmt: skip
    page.goto("/handlers/flaky")
    trail = page.locator(".handler-changes li")
    expect(trail).to_have_count(2)
    expect(trail.last).to_contain_text("paused by dashboard: a bad release")
    wait_for_edge(flowing, "type:trouble.flaky", "handler:flaky", handled + 3)


def test_recorded_events_are_delivered_again_after_they_were_counted(
    flowing: ServerProcess, visit: Visit
) -> None:
    page = visit(flowing, "/handlers/flaky")
    page.get_by_role("button", name="Count first").click()
    expect(page.get_by_label("From sequence")).to_have_accessible_description(
        re.compile("say from where")
    )
    page.get_by_label("From sequence").fill("1")
    page.get_by_label("Only types").fill("bad**")
    page.get_by_role("button", name="Count first").click()
    expect(page.get_by_label("Only types")).to_have_accessible_description(re.compile("segment"))
    expect(page.get_by_label("From sequence")).to_have_value("1")
    page.get_by_label("Only types").fill("trouble.*")
    page.get_by_label("To sequence").fill("27")
    page.get_by_label("Events a second").fill("500")
    page.get_by_role("button", name="Count first").click()
    expect(page.get_by_role("status")).to_contain_text("Deliver 20 events again to flaky?")
    before = edge(flowing, "type:trouble.flaky", "handler:flaky")["count"]
    page.get_by_role("button", name="Deliver 20 events again").click()
    expect(page.locator(".replay-run")).to_contain_text("20 of 20")
    expect(page.locator(".replay-run")).to_contain_text("finished")
    wait_for_edge(flowing, "type:trouble.flaky", "handler:flaky", before + 20)


def test_what_keeps_state_says_what_to_do_instead(flowing: ServerProcess, visit: Visit) -> None:
    page = visit(flowing, "/handlers/evaluation")
    expect(page.get_by_text("flask rebuild makes afresh")).to_be_visible()
    expect(page.get_by_role("button", name="Count first")).to_have_count(0)


def test_an_empty_log_says_what_will_be_here(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/flow")
    expect(page.get_by_role("heading", name="Nothing has flowed yet")).to_be_visible()
    expect(page.get_by_role("group", name="curl command")).to_contain_text("/api/events")
    page.goto("/handlers")
    expect(page.get_by_role("row", name=re.compile("^evaluation "))).to_contain_text("serving")
    page.goto("/handlers/nobody")
    expect(page.get_by_role("heading", level=1)).to_contain_text("No such handler")


def test_a_subscription_that_nothing_serves_any_more_is_ended_after_a_question(
    server: ServerProcess, visit: Visit
) -> None:
    api = server.new_api()
    with RemoteEventBus(server.url) as remote:
        remote.subscribe("renamed.thing", print, name="old-name").wait_ready(LONG_S)
        refused = api.request("POST", "/handlers/end", "name=old-name", FORM)
        assert refused.status == 409 and "is served" in refused.text
        page = visit(server, "/handlers/old-name")
        expect(page.get_by_role("heading", name="Pause and resume")).to_be_visible()
        expect(page.get_by_role("heading", name="Nothing serves it")).to_have_count(0)

    def known() -> dict[str, str]:
        found = api.get("/api/subscriptions").json["subscriptions"]
        return {each["name"]: each["state"] for each in found}

    wait_until(lambda: known()["old-name"] == "unserved", "its program has left")
    api.publish("renamed.thing", {})
    page.reload()
    page.get_by_text("End it…").click()
    expect(page.get_by_text("1 pending event is cancelled for it")).to_be_visible()
    page.get_by_role("button", name="End it").click()
    page.wait_for_url("**/handlers")
    assert "old-name" not in known()
    (told,) = api.get("/api/events", type="subscription.ended").json["events"]
    assert told["data"] == {"name": "old-name", "by": "dashboard"}
