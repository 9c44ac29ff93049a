"""The live page: what is published shows up, nothing is missed, and nothing jumps."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit, check, fail
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


def test_events_appear_newest_first_the_moment_they_are_recorded(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    expect(page.get_by_role("heading", name="No events yet")).to_be_visible()
    for number in range(1, 4):
        server.new_api().publish("vendor.tick", {"n": number})
        first = page.locator("#stream-rows > .row").first
        expect(first).to_contain_text(f"n: {number}")
    expect(page.get_by_role("heading", name="No events yet")).to_be_hidden()
    assert _sequences(page) == [3, 2, 1]


def test_what_was_there_before_is_on_the_page_without_a_socket(
    server: ServerProcess, visit: Visit
) -> None:
    server.new_api().post("/api/events", [{"type": "vendor.tick", "data": {}}] * 120)
    page = visit(server, java_script_enabled=False)
    assert _sequences(page) == list(range(120, 20, -1))


def test_the_counters_follow_an_evaluation_through_its_life(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    publish = server.new_api().publish
    publish("evaluation.started", {"eval_id": "e-1", "total": 10})
    _expect_counters(page, active=1, completed=0)
    publish("evaluation.completed", {"eval_id": "e-1", "result": {}})
    _expect_counters(page, active=0, completed=1)
    publish("queue.task.added", {"task_id": "t-1"})
    _expect_counters(page, queue_depth=1)
    publish("queue.task.processed", {"task_id": "t-1"})
    _expect_counters(page, queue_depth=0)


def test_a_running_evaluation_shows_its_clock_and_its_progress(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    publish = server.new_api().publish
    publish("evaluation.started", {"eval_id": "e-1", "task": "gsm8k", "total": 40})
    run = page.locator("#active .run")
    expect(run).to_contain_text("e-1")
    expect(run).to_contain_text("gsm8k")
    clock = run.locator("time")
    expect(clock).to_have_text(re.compile(r"^\d+:\d\d$"))
    before = clock.inner_text()
    expect(clock).not_to_have_text(before)
    publish("evaluation.progress", {"eval_id": "e-1", "done": 10, "total": 40, "errors": 2})
    expect(run).to_contain_text("10 / 40")
    expect(run).to_contain_text("2 errors")
    expect(run.locator("progress")).to_have_attribute("value", "10")
    publish("evaluation.completed", {"eval_id": "e-1", "result": {}})
    expect(page.locator("#active")).to_have_text(re.compile("No evaluation is running"))


def test_retries_are_counted_up_to_exhausted(server: ServerProcess, visit: Visit) -> None:
    page = _open(visit, server)
    for retries in range(3):
        fail(server, "e-1", retries=retries)
        waiting = page.locator("#retries .run")
        expect(waiting).to_contain_text(f"attempt {retries + 2} of 4")
        expect(waiting).to_contain_text("RateLimitError")
        _expect_counters(page, retrying=1, active=0, failed=retries + 1, exhausted=0)
        server.new_api().publish(
            "evaluation.started", {"eval_id": "e-1", "retry_count": retries + 1}
        )
        expect(page.locator("#active .run")).to_contain_text(f"attempt {retries + 2} of 4")
    fail(server, "e-1", retries=3)
    _expect_counters(page, retrying=0, active=0, failed=4, exhausted=1)
    expect(page.locator("#retries")).to_contain_text("Nothing waits for a retry")


def test_an_alert_acknowledged_in_one_window_is_gone_from_the_other(
    server: ServerProcess, visit: Visit
) -> None:
    one, other = _open(visit, server), _open(visit, server)
    expect(one.locator("#alerts")).to_be_hidden()
    fail(server, "e-1", retries=0, severity="critical")
    for page in (one, other):
        expect(page.locator("#alerts .alarm")).to_contain_text("RateLimitError")
        expect(page.locator("[data-nav-count=alerts]")).to_have_text("1")
    one.get_by_role("button", name="Acknowledge").click()
    for page in (one, other):
        expect(page.locator("#alerts")).to_be_hidden()
        _expect_counters(page, open_alerts=0)
        expect(page.locator("[data-nav-count=alerts]")).to_be_hidden()


def test_a_filter_shows_what_matches_from_before_and_from_now_on(
    server: ServerProcess, visit: Visit
) -> None:
    publish = server.new_api().publish
    publish("vendor.before", {})
    publish("other.before", {})
    page = _open(visit, server)
    page.keyboard.press("/")
    page.keyboard.type("vendor.*")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?type=vendor.*")
    page.locator("#connection[data-state=live]").wait_for()
    publish("other.after", {})
    publish("vendor.after", {})
    types = page.locator("#stream-rows .type")
    expect(types).to_have_text(["vendor.after", "vendor.before"])
    page.get_by_role("link", name="Clear the filter").click()
    expect(types).to_have_text(["vendor.after", "other.after", "other.before", "vendor.before"])


def test_a_wrong_filter_is_said_beside_the_field(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/?type=ev*")
    box = page.get_by_label("Filter by event type")
    expect(box).to_have_value("ev*")
    expect(box).to_have_accessible_description(re.compile("whole segment"))


def test_a_wrong_filter_shows_everything_and_what_was_probably_meant(
    server: ServerProcess, visit: Visit
) -> None:
    server.new_api().publish("evaluation.started", {"eval_id": "e-1"})
    server.new_api().publish("vendor.tick", {})
    page = visit(server, "/?type=ev*")
    expect(page.locator("#filter-error")).to_have_text(
        "A wildcard in a pattern must be a whole segment, not a part of one like 'ev*'. "
        "Did you mean evaluation.*? Until then everything is shown."
    )
    expect(page.locator("#stream-rows .type", has_text="vendor.tick")).to_be_visible()
    expect(page.get_by_text("Older events are in")).to_be_hidden()  # there are none
    check(page)
    page.get_by_role("link", name="evaluation.*").click()
    page.wait_for_url("**/?type=evaluation.*")
    page.goto("/?type=no.such")
    expect(page.locator(".rows-empty p")).to_have_text(
        "No recorded event has a type in no.such. Show all types"
    )


def test_pausing_holds_the_rows_and_resuming_leaves_no_hole(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 10)
    expect(page.locator("#stream-rows > .row")).to_have_count(10)
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Resume")).to_have_attribute("aria-pressed", "true")
    _publish_numbers(server, 11, 60)
    expect(page.locator("#new-rows")).to_contain_text("+50 new")
    assert _sequences(page) == list(range(10, 0, -1))
    page.keyboard.press("p")
    expect(page.locator("#new-rows")).to_be_hidden()
    expect(page.locator("#stream-rows > .row")).to_have_count(60)
    assert _sequences(page) == list(range(60, 0, -1))
    _publish_numbers(server, 61, 62)
    expect(page.locator("#stream-rows > .row")).to_have_count(62)
    assert _sequences(page) == list(range(62, 0, -1))


def test_rows_do_not_move_while_somebody_has_scrolled_down(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 45)
    expect(page.locator("#stream-rows > .row")).to_have_count(45)
    page.locator("#stream").evaluate("stream => { stream.scrollTop = 300 }")
    _wait_frames(page)
    _publish_numbers(server, 46, 50)
    expect(page.locator("#new-rows")).to_contain_text("+5 new")
    assert _sequences(page) == list(range(45, 0, -1))
    page.locator("#new-rows").click()
    expect(page.locator("#stream-rows > .row")).to_have_count(50)
    assert _sequences(page) == list(range(50, 0, -1))
    assert page.locator("#stream").evaluate("stream => stream.scrollTop") == 0


def test_a_restart_of_the_server_leaves_no_hole(server: ServerProcess, visit: Visit) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 5)
    expect(page.locator("#stream-rows > .row")).to_have_count(5)
    server.stop()
    expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    server.start()
    _publish_numbers(server, 6, 9)
    expect(page.locator("#connection-text")).to_contain_text("restarted")
    expect(page.locator("#stream-rows > .row[data-sequence]")).to_have_count(11)
    assert _sequences(page) == list(range(11, 0, -1))  # two tell of the end and the start
    expect(page.locator("#connection-text")).to_have_text("live", timeout=15_000)


def test_a_lost_connection_is_said_and_what_was_missed_is_filled_in(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 3)
    expect(page.locator("#stream-rows > .row")).to_have_count(3)
    server.kill9()
    expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    server.start()
    _publish_numbers(server, 4, 6)
    expect(page.locator("#stream-rows > .row[data-sequence]")).to_have_count(8)
    # Two tell of the start and of the check after the crash.
    assert _sequences(page) == list(range(8, 0, -1))


def test_a_flood_folds_with_exact_counts_and_failures_stay_rows(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    flood = [{"type": "vendor.tick", "data": {"n": n}} for n in range(400)]
    flood[200] = {"type": "vendor.job.failed", "data": {"error": "seen"}}
    server.new_api().post("/api/events", flood)
    rows = page.locator("#stream-rows")
    expect(rows.locator(".row", has_text="vendor.job.failed")).to_have_count(1)
    shown = wait_until(lambda: _counted(page) == 400 and rows.locator(".fold").count(), "all shown")
    assert shown >= 1
    fold = rows.locator(".fold").first
    count = int(fold.get_attribute("data-count") or 0)
    fold.get_by_role("button").click()
    expect(rows.locator(".unfolded").first).to_contain_text("vendor.tick")
    assert rows.locator(".unfolded").count() <= count
    fold.get_by_role("button").click()
    expect(rows.locator(".unfolded")).to_have_count(0)


def test_the_page_never_holds_more_than_300_rows(server: ServerProcess, visit: Visit) -> None:
    page = _open(visit, server)
    for start in range(0, 450, 45):
        _publish_numbers(server, start + 1, start + 45)
        expect(page.locator(f"#e{start + 45}")).to_be_attached()
    assert page.locator("#stream-rows > *").count() == 300
    assert _sequences(page)[0] == 450


def test_focus_stays_where_it_is_while_the_panels_change(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    publish = server.new_api().publish
    publish("evaluation.started", {"eval_id": "e-1", "total": 40})
    fail(server, "e-2", retries=0, severity="critical")
    link = page.get_by_role("link", name="e-1", exact=True).last
    button = page.get_by_role("button", name="Acknowledge")
    for focused in (page.locator("#run-link-e-1"), button):
        focused.focus()
        for done in range(1, 4):
            publish("evaluation.progress", {"eval_id": "e-1", "done": done, "total": 40})
            publish(
                "alert.critical", {"service": "evaluation", "error": {"type": "RateLimitError"}}
            )
        expect(page.locator("#active .run").last).to_contain_text("3 / 40")
        expect(focused).to_be_focused()
    assert link.count() == 1


def test_a_row_that_has_the_keyboard_focus_keeps_its_place(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 5)
    expect(page.locator("#stream-rows > .row")).to_have_count(5)
    page.keyboard.press("j")
    focused = page.locator("#e5 .row-link")
    expect(focused).to_be_focused()
    _publish_numbers(server, 6, 8)
    expect(page.locator("#new-rows")).to_contain_text("+3 new")
    expect(focused).to_be_focused()
    assert _sequences(page)[0] == 5


def test_screen_readers_hear_a_summary_and_not_every_row(
    server: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, server)
    _publish_numbers(server, 1, 40)
    expect(page.locator("#announce")).to_have_text(re.compile(r"^\d+ new events?\.$"))
    live_regions = page.locator("[aria-live]:not([aria-live=off]), [role=status], [role=log]")
    assert live_regions.count() == 1


def test_on_a_phone_the_page_scrolls_and_rows_wait(server: ServerProcess, visit: Visit) -> None:
    page = _open(visit, server, viewport={"width": 360, "height": 700})
    _publish_numbers(server, 1, 40)
    expect(page.locator("#stream-rows > .row")).to_have_count(40)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    _wait_frames(page)
    _publish_numbers(server, 41, 43)
    chip = page.locator("#new-rows")
    expect(chip).to_contain_text("+3 new")
    expect(chip).to_be_in_viewport()
    chip.click()
    expect(page.locator("#stream-rows > .row")).to_have_count(43)
    expect(page.locator("#e43")).to_be_in_viewport()


def test_many_publishers_at_once_leave_no_hole_and_no_duplicate(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server()
    page = _open(visit, server)
    threads = [
        threading.Thread(target=_publish_numbers, args=(server, start, start + 29))
        for start in range(0, 240, 30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: _counted(page) == 240, "all 240 events are shown or counted")


def _open(visit: Visit, server: ServerProcess, **options: object) -> Page:
    """The live page with its socket open."""
    page = visit(server, **options)
    page.locator("#connection[data-state=live]").wait_for()
    return page


def _wait_frames(page: Page) -> None:
    """The browser tells of scrolling with its next frames; what comes before that still moves."""
    page.evaluate(
        """() => new Promise(done => {
            let frames = 10
            const count = () => frames-- ? requestAnimationFrame(count) : done()
            count()
        })"""
    )


def _publish_numbers(server: ServerProcess, first: int, last: int) -> None:
    api = server.new_api()
    for number in range(first, last + 1):
        api.post("/api/events", {"type": "vendor.tick", "data": {"n": number}})


def _sequences(page: Page) -> list[int]:
    rows = page.locator("#stream-rows > .row[data-sequence]")
    return [int(value) for value in rows.evaluate_all("all => all.map(e => e.dataset.sequence)")]


def _counted(page: Page) -> int:
    """How many events the stream shows, those in folds included."""
    counts = page.locator("#stream-rows > .row:not(.note, .unfolded)").evaluate_all(
        "all => all.map(row => Number(row.dataset.count ?? 1))"
    )
    return sum(counts)


def _expect_counters(page: Page, **counters: int) -> None:
    for name, value in counters.items():
        expect(page.locator(f"#counters [data-counter={name}]")).to_have_text(str(value))
