"""The table of evaluations, one of them, two beside each other: what is seen, what can be done."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on which evaluations of the task "slow" wait five minutes for their retry."""
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, EVENTBUS_RETRY_DELAYS="slow=300s") as server:
        yield server


def begin(server: ServerProcess, eval_id: str, **data: object) -> None:
    server.new_api().publish("evaluation.started", {"eval_id": eval_id, **data})


def fail(server: ServerProcess, eval_id: str, kind: str, **data: object) -> None:
    error = {"type": kind, "message": f"{kind} happened"}
    server.new_api().publish("evaluation.failed", {"eval_id": eval_id, "error": error, **data})


def complete(server: ServerProcess, eval_id: str, **result: object) -> None:
    server.new_api().publish("evaluation.completed", {"eval_id": eval_id, "result": result})


def shown(page: Page) -> list[str]:
    return page.locator(".eval-table .row-main").all_inner_texts()


def test_filters_and_order_are_in_the_address_and_find_what_they_name(
    server: ServerProcess, visit: Visit
) -> None:
    for number, model in enumerate(["small", "large", "large"]):
        begin(server, f"find-{number}", task="finding", model=model)
    fail(server, "find-1", "OddError")
    page = visit(server, "/evaluations?task=finding")
    assert shown(page) == ["find-2", "find-1", "find-0"]
    page.get_by_role("link", name="Evaluation", exact=True).click()
    page.wait_for_url(re.compile("sort=eval_id&order=asc"))
    assert shown(page) == ["find-0", "find-1", "find-2"]
    expect(page.get_by_role("columnheader", name="Evaluation")).to_have_attribute(
        "aria-sort", "ascending"
    )
    page.keyboard.press("/")
    page.keyboard.type("odderror")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=odderror"))
    assert "sort=eval_id" in page.url and "task=finding" in page.url
    assert shown(page) == ["find-1"]
    states = page.get_by_role("navigation", name="States")
    expect(states.get_by_role("link", name=re.compile("Retrying"))).to_contain_text("1")
    states.get_by_role("link", name=re.compile("Stalled")).click()
    expect(page.get_by_role("heading", name="No evaluation matches")).to_be_visible()
    page.locator(".empty").get_by_role("link", name="Clear filters").click()
    page.wait_for_url(re.compile(r"state=stalled"))
    expect(page.get_by_role("heading", name="No evaluation is stalled")).to_be_visible()
    page.goto("/evaluations?sort=colour")
    expect(page.get_by_role("alert")).to_contain_text("sort: must be one of")


def test_a_scheduled_retry_is_asked_for_now_and_then_the_button_says_why_not(
    server: ServerProcess, visit: Visit
) -> None:
    begin(server, "wait-1", task="slow")
    fail(server, "wait-1", "RateLimitError")
    page = visit(server, "/evaluations/wait-1")
    other = visit(server, "/evaluations/wait-1")
    expect(page.locator("[data-countdown-to]").first).to_contain_text("in ")
    page.get_by_role("button", name="Retry now").click()
    retry = page.get_by_role("button", name="Retry now")
    expect(retry).to_be_disabled()
    expect(page.locator("#why-retry")).to_contain_text("waits for its runner")
    expect(page.locator("[data-countdown-to]")).to_have_count(0)
    expect(page.get_by_text("asked for by dashboard")).to_be_visible()
    expect(other.get_by_role("button", name="Retry now")).to_be_disabled()  # it followed by itself
    api = server.new_api()
    assert api.get("/api/scheduled").json["scheduled"] == []
    retries = api.get("/api/events", subject="wait-1", type="evaluation.retry").json["events"]
    assert [event["data"]["by"] for event in retries] == ["dashboard"]


def test_an_evaluation_is_cancelled_and_asked_for_again(
    server: ServerProcess, visit: Visit
) -> None:
    begin(server, "stop-1", task="gsm8k", total=40)
    page = visit(server, "/evaluations/stop-1")
    expect(page.get_by_role("button", name="Retry now")).to_be_disabled()
    expect(page.locator("#why-retry")).to_contain_text("Attempt 1 is running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".head-line .badge")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    server.new_api().publish("evaluation.progress", {"eval_id": "stop-1", "done": 9})
    page.get_by_role("button", name="Retry now").click()
    expect(page.locator(".head-line .badge")).to_have_text("retrying")
    assert server.new_api().get("/api/evaluations/stop-1").json["attempt"] == 2


def test_the_page_follows_its_evaluation_and_draws_the_way_it_went(
    server: ServerProcess, visit: Visit
) -> None:
    begin(server, "way-1", total=10)
    page = visit(server, "/evaluations/way-1")
    here = page.locator(".machine-wide .box.here .box-name")
    expect(here).to_have_text("active")
    ticking = page.locator(".machine-wide .box.here time")
    first = ticking.inner_text()
    expect(ticking).not_to_have_text(first)
    fail(server, "way-1", "SandboxTimeout", severity="critical")
    expect(here).to_have_text("retrying")
    expect(page.locator(".machine-wide .edge.taken")).to_have_count(2)
    begin(server, "way-1", retry_count=1)
    complete(server, "way-1", accuracy=0.5, tokens=1200)
    expect(here).to_have_text("completed")
    expect(page.locator(".facts")).to_contain_text("1\u202f200")
    way = page.get_by_role("list", name="The states that it went through").get_by_role("listitem")
    expect(way).to_have_count(5)
    # The newest attempt is unfolded, the others on demand.
    expect(page.locator("#attempt-2 .gantt-more")).to_contain_text("cleanup.evaluation")
    expect(page.locator("#attempt-1 .gantt-more")).to_have_count(0)
    page.locator("#attempt-1 .gantt-n").click()
    page.wait_for_url(re.compile("attempt=1"))
    expect(page.locator("#attempt-1 .gantt-more")).to_contain_text("evaluation.retry")
    expect(page.locator("#attempt-1 .caused-sum")).to_contain_text("asked for a retry")


def test_two_picked_in_the_table_are_compared(server: ServerProcess, visit: Visit) -> None:
    for number, accuracy in enumerate([0.5, 0.75]):
        begin(server, f"pair-{number}", task="pairing", worker="same")
        complete(server, f"pair-{number}", accuracy=accuracy, **({"extra": 1} if number else {}))
    page = visit(server, "/evaluations?task=pairing&sort=eval_id&order=asc")
    page.get_by_role("checkbox", name="Pick pair-0").check()
    compare = page.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_be_disabled()
    begin(server, "pair-late", task="pairing")  # the table follows, what is picked stays picked
    expect(page.get_by_role("link", name="pair-late")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Pick pair-0")).to_be_checked()
    page.get_by_role("link", name="pair-1").focus()
    page.keyboard.press("x")
    compare.click()
    page.wait_for_url(re.compile(r"/evaluations/compare\?id=pair-0&id=pair-1"))
    ended = page.get_by_role("region", name="What they ended in")
    expect(ended.locator(".diff-changed", has_text="/data/result/accuracy")).to_contain_text(
        "+0.25"
    )
    expect(ended.locator(".diff-added")).to_contain_text("/data/result/extra")
    expect(page.get_by_role("region", name="Time")).to_contain_text("The whole attempt")
    page.get_by_role("link", name="Swap sides").click()
    expect(page.locator(".diff-removed")).to_contain_text("/data/result/extra")


def test_two_attempts_of_one_evaluation_are_compared(server: ServerProcess, visit: Visit) -> None:
    begin(server, "twice-1", retry_count=0, worker="a")
    fail(server, "twice-1", "FirstError", retry_count=0)
    begin(server, "twice-1", retry_count=1, worker="b")
    fail(server, "twice-1", "SecondError", retry_count=1)
    page = visit(server, "/evaluations/twice-1")
    page.get_by_role("link", name="Compare attempts").click()
    began = page.get_by_role("region", name="What they began with")
    expect(began.locator(".diff-changed", has_text="/data/worker")).to_contain_text('"a"')
    expect(page.get_by_role("region", name="What they ended in")).to_contain_text("SecondError")
    page.get_by_label("Attempt", exact=True).nth(1).select_option("1")
    page.get_by_role("button", name="Compare these").click()
    expect(page.get_by_text("Both sides are the same attempt")).to_be_visible()
    page.goto("/evaluations/compare?id=twice-1&id=nobody")
    expect(page.get_by_role("heading", name="No such evaluation")).to_be_visible()


def test_a_printed_evaluation_has_what_is_known_and_nothing_to_click(
    server: ServerProcess, visit: Visit
) -> None:
    begin(server, "paper-1", total=2)
    complete(server, "paper-1", accuracy=0.5)
    page = visit(server, "/evaluations/paper-1", color_scheme="dark")
    page.emulate_media(media="print")
    for hidden in (".topbar", ".page-head .actions", ".copy", ".eval-events"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator(".print-only")).to_contain_text("Printed from the log up to event #")
    started = page.locator(".facts time").first
    shown = started.evaluate(
        """each => {
            window.dispatchEvent(new Event('beforeprint'))
            return getComputedStyle(each, '::after').content
        }"""
    )
    assert re.fullmatch(r'"20\d\d-\d\d-\d\d [\d:.]+ \S+"', shown), "the local moment, not an age"
    for kept in (".machine-wide", ".gantt", ".facts"):
        expect(page.locator(kept)).to_be_visible()
    expect(page.get_by_role("group", name="result")).to_contain_text("0.5")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(17, 27, 30)"
    assert page.pdf(format="A4").startswith(b"%PDF")
