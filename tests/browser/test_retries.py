"""Retries and dead letters: what closes by itself, what is picked, asked, done and followed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit, check, fail
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose handler "flaky" fails as often as an event says; one failure kills."""
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(
        directory, "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="1", EVENTBUS_MAX_RETRIES="0"
    ) as server:
        yield server


def die(server: ServerProcess, count: int, failures: int = 1, type: str = "trouble.flaky") -> None:
    api = server.new_api()
    before = api.counters()["dead_letters"]
    api.post(
        "/api/events",
        [
            {"type": type, "subject": f"s{n}", "data": {"failures": failures, "bytes": 1}}
            for n in range(count)
        ],
    )
    wait_until(lambda: api.counters()["dead_letters"] == before + count, "they are dead", 20.0)


def clear(server: ServerProcess) -> None:
    """Discard whatever is dead."""
    api = server.new_api()
    api.post("/api/deliveries/discard", {"filter": {}, "reason": "the next test"})
    wait_until(lambda: api.counters()["dead_letters"] == 0, "none is dead", 20.0)


def test_an_exhausted_evaluation_leaves_the_inbox_when_it_completes_and_that_is_said(
    troubled: ServerProcess, visit: Visit
) -> None:
    api = troubled.new_api()
    page = visit(troubled, "/retries")
    expect(page.get_by_role("heading", name="Nothing needs you")).to_be_visible()
    fail(troubled, "e-1", retries=0)
    need = page.locator(".need", has_text="e-1")
    expect(need).to_contain_text("RateLimitError: 429 Too Many Requests")
    need.get_by_role("button", name="Retry e-1").click()
    expect(need).to_contain_text("attempt 2 of 2 is under way")
    expect(need.get_by_role("button", name="Retry e-1")).to_be_disabled()
    expect(page.get_by_role("status")).to_contain_text("A retry of 1 evaluation is asked for")
    (asked,) = api.get("/api/events", type="evaluation.retry").json["events"]
    assert asked["data"]["by"] == "dashboard"
    now = visit(troubled, "/retries/now")
    line = now.locator(".letter", has_text="e-1")
    expect(line).to_contain_text("attempt 2 of 2")
    line.locator("summary").click()
    expect(line.locator(".letter-try")).to_have_count(2)
    expect(line.locator(".letter-try").last).to_contain_text('KeyError: "x"')
    expect(need.locator(".letter-try")).to_have_count(0)
    need.get_by_text("All attempts with their tracebacks").click()
    expect(need.locator(".letter-try").last).to_contain_text("Attempt 1 of 2")
    need.get_by_text("All attempts with their tracebacks").click()

    api.publish("evaluation.started", {"eval_id": "e-1", "retry_count": 1})
    done = api.publish("evaluation.completed", {"eval_id": "e-1", "retry_count": 1})
    lately = page.get_by_role("region", name="Closed lately")
    expect(lately).to_contain_text(f"closed by evaluation.completed #{done['sequence']}")
    expect(lately).to_contain_text("later")
    expect(page.get_by_role("heading", name="Nothing needs you")).to_be_visible()
    page.get_by_role("link", name="Closed lately").click()
    expect(page.get_by_role("link", name="e-1")).to_be_visible()


def test_picked_evaluations_are_dismissed_with_a_reason(
    troubled: ServerProcess, visit: Visit
) -> None:
    for name in ("d-1", "d-2", "d-3"):
        fail(troubled, name, retries=0)
    page = visit(troubled, "/retries")
    page.get_by_label("Pick d-1").check()
    page.get_by_label("Pick d-3").check()
    bar = page.get_by_role("form", name="Decide about the picked evaluations")
    expect(bar).to_contain_text("2 of 3 picked")
    bar.get_by_role("button", name="Dismiss…").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Dismiss 2 evaluations?")
    question.get_by_label("Why will nobody miss them?").fill("a known bug")
    question.get_by_role("button", name="Dismiss 2").click()
    needs = page.get_by_role("region", name="Evaluations out of retries")
    expect(needs.locator(".need")).to_have_count(1)
    expect(needs).to_contain_text("d-2")
    lately = page.get_by_role("region", name="Closed lately")
    expect(lately).to_contain_text("closed by dashboard: a known bug")
    needs.get_by_text("Dismiss…").click()
    needs.get_by_label("Why will nobody miss it?").fill("neither")
    needs.get_by_role("button", name="Dismiss", exact=True).click()
    expect(needs).to_have_count(0)


def test_all_of_one_class_of_error_are_retried_after_a_question_and_the_focus_stays_in_the_list(
    troubled: ServerProcess, visit: Visit
) -> None:
    api = troubled.new_api()
    for error, count in (("RateLimitError", 4), ("KeyError", 2)):
        for number in range(count):
            data = {"eval_id": f"{error}-{number}", "error": {"type": error}}
            api.publish("evaluation.exhausted", data)
    page = visit(troubled, "/retries")
    chips = page.get_by_role("navigation", name="Errors of evaluations")
    expect(chips).to_contain_text(re.compile(r"RateLimitError 4\s+KeyError 2"))
    chips.get_by_role("link", name="RateLimitError").click()
    page.wait_for_url("**/retries?error_class=RateLimitError")
    needs = page.get_by_role("region", name="Evaluations out of retries")
    expect(needs.get_by_role("heading")).to_contain_text("4 of 6")
    expect(needs.locator(".need")).to_have_count(4)

    page.get_by_label("Pick RateLimitError-0").check()
    page.get_by_label("Pick RateLimitError-1").check()
    bar = page.get_by_role("form", name="Decide about the picked evaluations")
    question = page.get_by_role("dialog")
    bar.get_by_role("button", name="Retry…").click()
    expect(question).to_contain_text("Retry 2 evaluations?")
    question.get_by_role("link", name="Cancel").click()
    expect(bar.get_by_role("button", name="Retry…")).to_be_focused()
    assert (
        api.get("/api/events", type="evaluation.retry", subject="RateLimitError-0").json["events"]
        == []
    ), "nothing is done before the question is answered"

    page.get_by_label("Pick RateLimitError-0").check()
    page.get_by_label("Pick RateLimitError-1").check()
    bar.get_by_role("button", name="Retry…").click()
    question.get_by_role("button", name="Retry 2").click()
    expect(page.get_by_role("status")).to_contain_text("A retry of 2 evaluations is asked for")
    expect(question).to_have_count(0)
    expect(needs.locator(".need .pick").first).to_be_focused()
    expect(needs.get_by_text("is under way")).to_have_count(2)

    page.get_by_label("Pick RateLimitError-0").check()
    bar.get_by_label("all 4 that match").check()
    bar.get_by_role("button", name="Retry…").click()
    expect(question).to_contain_text("Retry 2 evaluations?")
    expect(question).to_contain_text("all out of retries with RateLimitError")
    expect(question).to_contain_text("2 left out")
    question.get_by_role("button", name="Retry 2").click()
    expect(page.get_by_role("heading", name=re.compile("^Retry [0-9]+$"))).to_be_visible()
    expect(page.get_by_text("2 of 2 asked for once more")).to_be_visible()
    did = page.get_by_role("region", name=re.compile("^What it did"))
    expect(did.locator(".need")).to_have_count(2)

    page.goto("/retries?error_class=RateLimitError")
    expect(needs.get_by_role("button", name="Retry all…")).to_be_disabled()
    chips.get_by_role("link", name="KeyError").click()
    page.wait_for_url("**/retries?error_class=KeyError")
    page.get_by_label("Pick KeyError-0").check()
    page.get_by_label("Pick KeyError-1").check()
    expect(bar).to_contain_text("2 of 2 picked")
    bar.get_by_role("button", name="Dismiss…").click()
    question.get_by_label("Why will nobody miss them?").fill("left by a test")
    question.get_by_role("button", name="Dismiss 2").click()
    expect(needs).to_contain_text("None with KeyError needs a person any more")
    assert page.evaluate("document.activeElement !== document.body")
    dismiss_all(page, 4)


def dismiss_all(page: Page, count: int) -> None:
    page.goto("/retries")
    page.get_by_role("link", name=f"Dismiss all {count}…").click()
    page.get_by_label("Why will nobody miss them?").fill("the next test")
    page.get_by_role("button", name=f"Dismiss {count}", exact=True).click()
    expect(page.get_by_text(f"{count} of {count} dismissed")).to_be_visible()
    page.goto("/retries")
    expect(page.get_by_role("region", name="Evaluations out of retries")).to_have_count(0)


def test_a_retry_of_all_is_followed_and_stopped_half_way(
    troubled: ServerProcess, visit: Visit
) -> None:
    for number in range(3):
        fail(troubled, f"w-{number}", retries=0)
    page = visit(troubled, "/retries")
    page.get_by_role("link", name="Retry all 3…").click()
    expect(page.get_by_role("heading", name="Retry 3 evaluations?")).to_be_visible()
    page.get_by_label("Why? (goes into the log)").fill("the runner is back")
    # One, and then for hours none.
    page.get_by_label("How many a second at most").fill("0.0001")
    page.get_by_role("button", name="Retry 3", exact=True).click()
    expect(page.get_by_text("1 of 3 asked for once more")).to_be_visible()
    did = page.get_by_role("region", name=re.compile("^What it did"))
    expect(did.locator(".need")).to_have_count(1)
    expect(did.get_by_role("link", name="w-0")).to_be_visible()
    expect(page.get_by_text("dashboard: the runner is back")).to_be_visible()
    check(page)

    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text(", stopped by dashboard")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    expect(page.get_by_text("1 of 3 asked for once more")).to_be_visible()
    troubled.new_api().publish("evaluation.completed", {"eval_id": "w-0", "retry_count": 1})
    expect(page.locator(".facts li", has_text="Completed")).to_contain_text("1")

    page.goto("/retries/operations")
    expect(page.get_by_role("row", name=re.compile("the runner is back"))).to_contain_text(
        "stopped all out of retries"
    )
    page.goto("/retries")
    needs = page.get_by_role("region", name="Evaluations out of retries")
    expect(needs.locator(".need")).to_have_count(2)
    expect(needs.get_by_text("is under way")).to_have_count(0)
    expect(page.get_by_role("link", name="Retry all 2…")).to_be_visible()
    dismiss_all(page, 2)


def test_dead_letters_are_picked_by_range_and_redriven_after_a_question(
    troubled: ServerProcess, visit: Visit
) -> None:
    clear(troubled)
    die(troubled, 6)
    page = visit(troubled, "/retries/dead")
    boxes = page.locator(".letter .pick")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    bar = page.get_by_role("form", name="Decide about the picked dead letters")
    expect(bar).to_contain_text("4 of 6 picked")
    boxes.nth(2).press("x")
    expect(bar).to_contain_text("3 of 6 picked")
    bar.get_by_role("button", name="Redrive…").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Redrive 3 dead letters?")
    question.get_by_label("Why?").fill("mended")
    with page.expect_navigation(url=re.compile("/retries/operations/")):
        question.get_by_role("button", name="Redrive 3").click()
    expect(page.locator("#done")).to_have_text("3")
    expect(page.get_by_role("region", name=re.compile("^Redrive"))).to_contain_text(
        "dashboard: mended"
    )
    expect(page.get_by_role("region", name=re.compile("^What it did"))).to_contain_text(
        "succeeded 3"
    )
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    assert troubled.new_api().counters()["dead_letters"] == 3


def test_all_that_match_are_redriven_also_to_one_subscription_only(
    troubled: ServerProcess, visit: Visit
) -> None:
    clear(troubled)
    die(troubled, 3)
    die(troubled, 2, type="storage.file.created")
    page = visit(troubled, "/retries")
    group = page.locator(".group", has_text="ValueError")
    expect(group).to_contain_text("flaky")
    group.get_by_role("link", name=re.compile("^Redrive")).click()
    expect(page.get_by_role("dialog")).to_contain_text("Redrive 3 dead letters?")
    page.get_by_role("dialog").get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto("/retries/dead")
    page.get_by_role("link", name=re.compile("^Redrive all")).click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Redrive 5 dead letters?")
    question.get_by_role("button", name="Only these of flaky").click()
    expect(question).to_contain_text("Redrive 3 dead letters?")
    expect(question).to_contain_text("at no other subscription")
    with page.expect_navigation(url=re.compile("/retries/operations/")):
        question.get_by_role("button", name="Redrive 3").click()
    wait_until(lambda: troubled.new_api().counters()["dead_letters"] == 2, "three are gone")


def test_the_filter_stands_in_the_url_and_errors_are_chosen_from_their_counts(
    troubled: ServerProcess, visit: Visit
) -> None:
    clear(troubled)
    die(troubled, 3)
    die(troubled, 2, type="storage.file.created")
    page = visit(troubled, "/retries/dead")
    page.get_by_role("navigation", name="Errors").get_by_role(
        "link", name=re.compile("ValueError")
    ).click()
    page.wait_for_url("**/retries/dead?error_class=ValueError")
    expect(page.get_by_role("heading", name="3 dead letters that match")).to_be_visible()
    page.get_by_label("Type", exact=True).fill("storage.*")
    page.keyboard.press("Enter")
    page.wait_for_url("**type=storage*")
    expect(page.get_by_role("heading", name="No dead letter matches")).to_be_visible()
    page.get_by_role("link", name="Clear the filter").click()
    expect(page.locator(".letter")).to_have_count(5)
    page.goto("/retries/dead?since=1h&subscription=storage")
    expect(page.locator(".letter")).to_have_count(2)
    page.goto("/retries/dead?type=ev*&until=tomorrow")
    expect(page.get_by_label("Type", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("is not a time")).to_be_visible()


def test_it_works_without_a_script(troubled: ServerProcess, visit: Visit) -> None:
    clear(troubled)
    die(troubled, 3)
    page = visit(troubled, "/retries/dead", java_script_enabled=False)
    page.locator(".letter .pick").nth(0).check()
    page.locator(".letter .pick").nth(1).check()
    page.get_by_role("form", name="Decide about the picked dead letters").get_by_role(
        "button", name="Discard…"
    ).click()
    expect(page.get_by_role("heading", name="Discard 2 dead letters?")).to_be_visible()
    page.get_by_label("Why will nobody miss them?").fill("left by a test")
    page.get_by_role("button", name="Discard 2").click()
    expect(page.get_by_role("heading", name=re.compile("^Discard [0-9]+$"))).to_be_visible()
    wait_until(lambda: troubled.new_api().counters()["dead_letters"] == 1, "one is left")
    page.goto("/retries/operations")
    expect(page.get_by_role("row", name=re.compile("left by a test"))).to_contain_text("2 of 2")


def test_attempts_unfold_newest_first_or_oldest_first(
    troubled: ServerProcess, visit: Visit
) -> None:
    clear(troubled)
    die(troubled, 1, failures=9)
    api = troubled.new_api()
    api.post("/api/deliveries/redrive", {"filter": {}})
    wait_until(
        lambda: (dead := api.get("/api/deliveries").json["deliveries"]) and dead[0]["round"] == 2,
        "it is dead again",
    )
    page = visit(troubled, "/retries/dead")
    page.locator(".letter summary").click()
    tries = page.locator(".letter-try b:first-child")
    expect(tries.first).to_have_text("Round 2, attempt 1")
    expect(page.locator(".letter pre").first).to_contain_text("ValueError: failure 2")
    with page.expect_navigation():
        page.get_by_role("link", name="Oldest attempt first").click()
    page.locator(".letter summary").click()
    expect(tries.first).to_have_text("Round 1, attempt 1")


def test_what_waits_is_retried_now(tmp_path_factory: pytest.TempPathFactory, visit: Visit) -> None:
    with ServerProcess(
        tmp_path_factory.mktemp("server"), "tests.helpers.trouble:app",
        EVENTBUS_MAX_ATTEMPTS="4", EVENTBUS_BACKOFF_FIRST_S="200",
    ) as server:  # fmt: skip
        for number in range(3):
            server.new_api().publish("trouble.flaky", {"failures": 2}, subject=f"s{number}")
        page = visit(server, "/retries/now")
        letters = page.locator(".letter")
        expect(letters).to_have_count(3)
        expect(letters.first).to_contain_text("attempt 2 of 4")
        expect(letters.first).to_contain_text(re.compile(r"in [34]:\d\d"))
        letters.first.get_by_role("button", name=re.compile("^Retry now")).click()
        expect(page.get_by_role("status")).to_contain_text("1 delivery is tried again")
        expect(page.locator(".letter", has_text="attempt 3 of 4")).to_have_count(1)
        for box in page.locator(".letter .pick").all():
            box.check()
        page.get_by_role("form", name="Retry the picked deliveries").get_by_role(
            "button", name="Retry now"
        ).click()
        expect(letters).to_have_count(2)  # one has succeeded, two have failed again
        _stop_a_slow_redrive(server, page)


def _stop_a_slow_redrive(server: ServerProcess, page: Page) -> None:
    """An operation that cannot end is followed and stopped."""
    api = server.new_api()
    operation = api.post(
        "/api/deliveries/replay", {"subscription": "flaky", "rate": 0.01, "by": "ann"}
    ).json
    page.goto("/retries/operations")
    row = page.get_by_role("row", name=re.compile(f"Replay {operation['id']}"))
    expect(row).to_contain_text("running")
    page.get_by_role("link", name=f"Replay {operation['id']}").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("region", name=re.compile("^Replay"))).to_contain_text(
        "stopped by dashboard"
    )
