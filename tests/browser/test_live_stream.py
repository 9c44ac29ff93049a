"""The stream in a real browser: it moves, waits for readers, and says what it did not show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

MOST_ROWS = 300
HIDE_OR_SHOW = """isHidden => {
    Object.defineProperty(document, 'hidden', {value: isHidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def publish(server: ServerProcess, count: int, type: str = "a.b") -> int:
    """Publish events; gives the sequence of the last one."""
    events = [{"type": type, "data": {"n": n}} for n in range(count)]
    answer = server.new_api().post("/api/events", events)
    assert answer.status == 202, answer.text
    last: int = answer.json["events"][-1]["sequence"]
    return last


def wait_live(page: Page) -> None:
    page.wait_for_selector("#connection[data-state=live]")


def wait_row(page: Page, sequence: int) -> None:
    page.wait_for_selector(f"#e{sequence}", state="attached")


def wait_frames(page: Page) -> None:
    """The browser tells of scrolling, and knows the heights of rows, with its next frames."""
    page.evaluate(
        """() => new Promise(done => {
            let frames = 10
            const count = () => frames-- ? requestAnimationFrame(count) : done()
            count()
        })"""
    )


def sequences(page: Page) -> list[int]:
    """The events that have a row, from the top."""
    return page.eval_on_selector_all(
        "#stream-rows > li[data-sequence]", "rows => rows.map(row => Number(row.dataset.sequence))"
    )


def top(row: Locator) -> float:
    box = row.bounding_box()
    assert box is not None
    return box["y"]


def fold_counts(page: Page) -> dict[str, int]:
    pairs = page.eval_on_selector_all(
        "#stream-rows > li.fold", "rows => rows.map(row => [row.dataset.type, row.dataset.count])"
    )
    counts: dict[str, int] = {}
    for type, count in pairs:
        counts[type] = counts.get(type, 0) + int(count)
    return counts


def test_events_come_in_at_the_top(server: ServerProcess, visit: Visit) -> None:
    first = publish(server, 3)
    page = visit(server)
    wait_live(page)
    last = publish(server, 4)
    wait_row(page, last)
    assert sequences(page) == list(range(last, first - 3, -1))
    expect(page.locator("#connection-text")).to_have_text("live")


def test_a_filter_shows_only_what_matches(server: ServerProcess, visit: Visit) -> None:
    publish(server, 2, "c.d")
    page = visit(server, "/?type=a.*")
    wait_live(page)
    publish(server, 2, "c.d")
    last = publish(server, 2)
    wait_row(page, last)
    assert sequences(page) == [6, 5]


def test_pausing_holds_rows_back_and_resuming_fills_them_in_without_a_hole(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 3))
    page.click("#pause")
    for _ in range(5):
        publish(server, 9)
    expect(page.locator("#new-rows")).to_have_text("+45 new")
    expect(page.locator("#connection-text")).to_have_text("paused, +45")
    assert sequences(page) == [3, 2, 1]
    page.click("#pause")
    wait_row(page, 48)
    assert sequences(page) == list(range(48, 0, -1))
    expect(page.locator("#new-rows")).to_be_hidden()
    wait_live(page)
    wait_row(page, publish(server, 1))
    assert sequences(page) == list(range(49, 0, -1))


def test_a_long_pause_is_summed_up_with_exact_counts(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    page.click("#pause")
    for _ in range(3):
        last = publish(server, 400)
    expect(page.locator("#new-rows")).to_contain_text("1\u202f200")
    page.click("#new-rows")
    wait_row(page, last)
    shown = sequences(page)
    assert shown == list(range(last, last - len(shown), -1))
    assert sum(fold_counts(page).values()) + len(shown) == 1200


def test_no_row_moves_under_the_pointer(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 5))
    row = page.locator("#e2")
    row.hover()
    before = row.bounding_box()
    publish(server, 7)
    expect(page.locator("#new-rows")).to_have_text("+7 new")
    expect(page.locator("#connection-text")).to_have_text("7 behind")
    assert row.bounding_box() == before
    page.mouse.move(2, 2)
    wait_row(page, 12)
    assert sequences(page) == list(range(12, 0, -1))


@pytest.mark.parametrize("width", [1280, 360])
def test_a_reader_who_scrolled_down_is_not_disturbed(
    server: ServerProcess, visit: Visit, width: int
) -> None:
    for _ in range(2):
        publish(server, 49)
    page = visit(server, viewport={"width": width, "height": 700})
    wait_live(page)
    page.locator("#e20").scroll_into_view_if_needed()
    wait_frames(page)
    before = page.locator("#e20").bounding_box()
    publish(server, 3)
    expect(page.locator("#new-rows")).to_have_text("+3 new")
    assert page.locator("#e20").bounding_box() == before
    page.evaluate("document.querySelector('#new-rows').click()")  # wherever it is on this screen
    wait_row(page, 101)
    expect(page.locator("#e101")).to_be_in_viewport()
    assert sequences(page)[:4] == [101, 100, 99, 98]


def test_no_row_moves_when_an_alert_comes_and_goes_above_the_rows(
    server: ServerProcess, visit: Visit
) -> None:
    wait = publish(server, 40)
    page = visit(server)
    wait_live(page)
    row = page.locator(f"#e{wait - 10}")  # far enough down not to be covered
    row.hover()
    before = top(row)
    for service in ("gpu", "disk"):
        data = {"service": service, "error": "it burns"}
        server.new_api().publish("alert.critical", data)
        expect(page.locator("#alerts .alarm", has_text=service)).to_be_visible()
        assert top(row) == pytest.approx(before, abs=0.5)
    expect(page.locator("#new-rows")).to_have_text("+2 new")
    for alert in server.new_api().get("/api/alerts").json["alerts"]:
        server.new_api().post(f"/api/alerts/{alert['id']}/acknowledge", {})
    expect(page.locator("#alerts")).to_be_hidden()
    assert top(row) == pytest.approx(before, abs=0.5)
    # Also when the alert was there before somebody began to read.
    page.mouse.move(2, 2)
    wait_row(page, wait + 4)
    server.new_api().publish("alert.critical", {"service": "net", "error": "it burns"})
    expect(page.locator("#alerts .alarm", has_text="net")).to_be_visible()
    row.hover()
    before = top(row)
    (alert,) = server.new_api().get("/api/alerts", state="open").json["alerts"]
    server.new_api().post(f"/api/alerts/{alert['id']}/acknowledge", {})
    expect(page.locator("#alerts")).to_be_hidden()
    assert top(row) == pytest.approx(before, abs=0.5)
    page.mouse.move(2, 2)
    wait_row(page, wait + 6)
    assert page.locator("#stream").evaluate("stream => stream.scrollTop") == 0


def test_on_a_phone_no_row_moves_when_a_panel_above_grows(
    server: ServerProcess, visit: Visit
) -> None:
    last = publish(server, 49)
    page = visit(server, viewport={"width": 360, "height": 700})
    wait_live(page)
    row = page.locator(f"#e{last - 20}")
    row.scroll_into_view_if_needed()
    wait_frames(page)
    before = top(row)
    for number in range(2):
        data = {"service": f"s-{number}", "error": "it burns"}
        server.new_api().publish("alert.critical", data)
        expect(page.locator("#alerts .alarm")).to_have_count(number + 1)
        assert top(row) == pytest.approx(before, abs=0.5)


def test_a_gap_that_is_longer_than_the_list_is_folded_and_the_header_says_so(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server)
    wait_live(page)
    page.evaluate(HIDE_OR_SHOW, True)
    last = publish(server, 600)
    page.evaluate(HIDE_OR_SHOW, False)
    wait_row(page, last)
    expect(page.locator("#connection-text")).to_have_text("reconnected, filled #1–#600, 400 folded")
    assert fold_counts(page) == {"a.b": 400}


def test_a_browser_that_is_too_slow_again_and_again_is_told_one_sum(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server)
    wait_live(page)
    page.evaluate(
        """() => {
            const live = document.getElementById('live')
            const sequence = Number(live.dataset.sequence)
            for (const skipped of [1000, 5, 7]) {
                const behind = { kind: 'behind', count: 0, sequence, skipped }
                const message = { data: JSON.stringify(behind) }
                const detail = { connection: { url: location.href }, message }
                live.dispatchEvent(new CustomEvent('htmx:ws:before:message:incoming', { detail }))
            }
        }"""
    )
    expect(page.locator("#connection-text")).to_have_text("caught up, 1\u202f012 folded")


def test_a_flood_folds_merges_and_opens_to_what_it_counted(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server)
    wait_live(page)
    for _ in range(4):
        server.new_api().post("/api/events", [{"type": "a.b"}, {"type": "c.d"}] * 40)
    last = publish(server, 1, "job.failed")
    wait_row(page, last)
    shown = sequences(page)
    counts = fold_counts(page)
    assert sum(counts.values()) + len(shown) == last == 321
    fold = page.locator("#stream-rows > li.fold").first
    count, first, end = (
        int(fold.get_attribute(f"data-{n}") or 0) for n in ("count", "first", "last")
    )
    fold.locator("[data-unfold]").click()
    page.wait_for_selector("li.unfolded")
    opened = page.eval_on_selector_all(
        "li.unfolded", "rows => rows.map(row => Number(row.dataset.sequence))"
    )
    assert len(opened) == count
    assert (opened[0], opened[-1]) == (end, first)
    fold.locator("[data-unfold]").click()
    expect(page.locator("li.unfolded")).to_have_count(0)


def test_the_page_never_holds_more_than_its_rows(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    for _ in range(10):
        last = publish(server, 45)
        wait_row(page, last)
    shown = sequences(page)
    assert shown == list(range(last, last - len(shown), -1))
    assert page.locator("#stream-rows > li").count() == MOST_ROWS


def test_a_restart_of_the_server_is_noticed_filled_and_told(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 3))
    server.stop()
    page.wait_for_selector("#connection[data-state=reconnecting]")
    expect(page.locator("#connection-text")).to_contain_text("reconnecting")
    server.start()
    last = publish(server, 2)
    wait_row(page, last)
    assert sequences(page) == [7, 6, 5, 4, 3, 2, 1]  # two tell of the end and the start
    page.wait_for_selector("#connection[data-state=restarted]")
    # On a busy machine the page may be back before the two were published.
    gap = re.compile(r"^server restarted, filled #4–#([5-7])")
    expect(page.locator("#connection-text")).to_have_text(gap)
    note = page.locator("#stream-rows .note")
    expect(note).to_have_text(gap)
    filled = gap.match(note.inner_text())
    assert filled is not None
    assert note.inner_text().endswith(f": {int(filled[1]) - 3} events")
    wait_live(page)


def test_a_restart_while_paused_leaves_no_hole(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 2))
    page.click("#pause")
    publish(server, 3)
    expect(page.locator("#new-rows")).to_have_text("+3 new")
    server.stop()
    server.start()
    publish(server, 4)
    expect(page.locator("#new-rows")).to_have_text("+9 new")
    page.click("#pause")
    wait_row(page, 11)
    assert sequences(page) == list(range(11, 0, -1))  # two tell of the end and the start


def test_a_tab_that_comes_back_to_the_front_is_filled(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 2))
    page.evaluate(HIDE_OR_SHOW, True)
    publish(server, 5)
    page.evaluate(HIDE_OR_SHOW, False)
    wait_row(page, 7)
    assert sequences(page) == [7, 6, 5, 4, 3, 2, 1]
    page.wait_for_selector("#connection[data-state=filled]")
    expect(page.locator("#connection-text")).to_have_text("reconnected, filled #3–#7")
    expect(page.locator("#stream-rows .note")).to_have_text("reconnected, filled #3–#7: 5 events")
    page.evaluate(HIDE_OR_SHOW, True)
    page.evaluate(HIDE_OR_SHOW, False)
    wait_row(page, publish(server, 1))
    assert sequences(page) == [8, 7, 6, 5, 4, 3, 2, 1]


def test_another_log_behind_the_same_address_is_told(
    server: ServerProcess, visit: Visit, tmp_path: Path
) -> None:
    page = visit(server)
    wait_live(page)
    wait_row(page, publish(server, 5))
    server.stop()
    for file in tmp_path.glob("events.db*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    server.start()
    page.wait_for_selector("#connection[data-state=offline]", timeout=20_000)
    expect(page.locator("#connection-text")).to_contain_text("reload")


def test_screen_readers_hear_counts_and_not_rows(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    wait_live(page)
    publish(server, 12)
    expect(page.locator("#announce")).to_have_text("12 new events.")
    publish(server, 1)
    wait_row(page, 13)
    expect(page.locator("#announce")).to_have_text("12 new events.")
