"""What stands around the stream: the tree of types, completion of the filter, small charts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.helpers.pages import Visit, sideways
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a few types; tests add events but never these."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        added = [{"type": "queue.task.added", "data": {"task_id": f"t-{n}"}} for n in range(12)]
        done = [{"type": "queue.task.processed", "data": {"task_id": "t-1"}}]
        server.new_api().post("/api/events", [*added, *done])
        server.new_api().publish("evaluation.started", {"eval_id": "e-1"})
        server.new_api().publish("evaluation.completed", {"eval_id": "e-1", "result": {}})
        yield server


def test_the_tree_rolls_counts_up_follows_what_comes_and_filters_by_a_click(
    busy: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, busy)
    expect(_count(page, "queue.*")).to_have_text("13")
    expect(_count(page, "queue.task.added")).to_have_text("12")
    busy.new_api().publish("vendor.tick", {})
    expect(_count(page, "vendor.*")).to_have_text("1")
    busy.new_api().publish("vendor.tick", {})
    expect(_count(page, "vendor.*")).to_have_text("2")
    expect(page.locator("[id='kind-vendor.%2A'] .kind-rate").first).to_contain_text("/s")
    page.get_by_role("link", name="task.processed", exact=True).click()
    page.wait_for_url("**/?type=queue.task.processed")
    expect(page.locator("#stream-rows > .row")).to_have_count(1)
    expect(page.get_by_role("link", name="task.processed", exact=True)).to_have_attribute(
        "aria-current", "true"
    )


def test_a_folded_branch_stays_folded_while_counts_change_and_on_the_next_visit(
    busy: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, busy)
    fold = page.get_by_role("button", name="Types in evaluation")
    leaf = page.locator("[id='kind-link-evaluation.started']")
    expect(leaf).to_be_visible()
    fold.click()
    expect(leaf).to_be_hidden()
    before = _count(page, "evaluation.*").inner_text()
    busy.new_api().publish("evaluation.started", {"eval_id": "e-2"})
    expect(_count(page, "evaluation.*")).not_to_have_text(before)
    expect(leaf).to_be_hidden()
    expect(fold).to_be_focused()
    page.reload()
    expect(page.get_by_role("button", name="Types in evaluation")).to_have_attribute(
        "aria-expanded", "false"
    )


def test_the_filter_is_completed_from_types_seen_by_keyboard(
    busy: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, busy)
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Filter by event type")
    expect(field).to_be_focused()
    page.keyboard.type("que")
    options = page.get_by_role("option")
    seen = ["queue.*13", "queue.task.added12", "queue.task.processed1"]
    for place, text in enumerate(seen):  # before those that are declared and were never seen
        expect(options.nth(place)).to_have_text(text)
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(field).to_have_value("que")
    page.keyboard.press("ArrowDown")
    expect(options.nth(2)).to_have_text(seen[2])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?type=queue.task.added")
    expect(page.locator("#stream-rows > .row")).to_have_count(12)


def test_what_is_chosen_while_more_is_typed_stays_chosen(busy: ServerProcess, visit: Visit) -> None:
    page = _open(visit, busy)
    field = page.get_by_role("combobox", name="Filter by event type")
    field.fill("qu")
    options = page.get_by_role("option")
    expect(options.nth(1)).to_have_text("queue.task.added12")
    late: list[Route] = []
    page.route("**/api/types?q=que&**", lambda route: late.append(route))
    field.press("e")
    while not late:
        page.wait_for_timeout(20)
    field.press("ArrowDown")
    field.press("ArrowDown")
    options.nth(1).evaluate("option => { option.dataset.before = '' }")
    late[0].continue_()
    expect(page.locator("[role=option][data-before]")).to_have_count(0)  # the answer is there
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", re.compile("-1$"))


def test_types_that_contain_what_was_asked_for_are_answered_with_their_counts(
    busy: ServerProcess,
) -> None:
    answer = busy.new_api().get("/api/types", q="TASK").json
    counts = [(each["type"], each["count"]) for each in answer["types"]]
    assert [pair for pair in counts if pair[1]] == [
        ("queue.task.added", 12),
        ("queue.task.processed", 1),
    ]
    assert answer["patterns"] == []
    assert busy.new_api().get("/api/types", q="queue").json["patterns"][0]["pattern"] == "queue.*"
    assert busy.new_api().get("/api/types", limit=1).json["more"] > 0
    assert busy.new_api().get("/api/types", limit=0).status == 400


def test_the_charts_say_in_words_what_they_show_and_move_on(
    busy: ServerProcess, visit: Visit
) -> None:
    page = _open(visit, busy)
    busy.new_api().publish("evaluation.started", {"eval_id": "e-3"})
    rates = page.get_by_role("img", name="Events per second by family")
    # A step of the charts is five seconds.
    expect(rates.locator("path.area.hue-indigo")).to_be_attached()
    active = page.get_by_role("img", name="Active evaluations")
    expect(page.locator("#trends")).to_contain_text("peak")
    expect(page.locator("#trends")).to_contain_text("p95")
    expect(active.locator("path").first).to_be_attached()


def test_a_phone_shows_one_part_at_a_time_and_the_stream_on_its_first_screen(
    busy: ServerProcess, visit: Visit
) -> None:
    for service in ("gpu", "disk", "net"):
        busy.new_api().publish("alert.critical", {"service": service, "error": "it burns"})
    page = _open(visit, busy, viewport={"width": 360, "height": 740})
    expect(page.locator("#alerts .alarm").first).to_be_in_viewport(ratio=1)
    expect(page.locator("#stream-rows > .row").nth(2)).to_be_in_viewport(ratio=1)
    parts = page.get_by_role("group", name="Parts of the page")
    shown = {"Running": "#active", "Retries": "#retries", "Types": "#types", "Charts": "#trends"}
    for name, selector in shown.items():
        expect(page.locator(selector)).to_be_hidden()
        parts.get_by_role("button", name=name).click()
        expect(page.locator(selector)).to_be_in_viewport()
        expect(page.locator("#stream")).to_be_hidden()
        expect(parts.locator("[aria-pressed=true]")).to_have_text(name)
        assert not sideways(page)
    page.keyboard.press("t")
    menu = page.locator(".travel-menu .menu-list").bounding_box()
    assert menu is not None and menu["x"] >= 0 and menu["x"] + menu["width"] <= 360
    page.keyboard.press("Escape")
    page.locator(".travel-menu > summary").press("/")
    expect(page.locator("[data-filter]")).to_be_focused()
    expect(parts.locator("[aria-pressed=true]")).to_have_text("Stream")
    page.locator("[data-filter]").fill("q")
    option = page.get_by_role("option").first
    option.wait_for()
    box = option.bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360
    assert not sideways(page)


def test_a_row_says_of_whom_and_a_note_is_one_line_beside_the_panels(
    busy: ServerProcess, visit: Visit
) -> None:
    busy.new_api().publish("evaluation.progress", {"eval_id": "eval-tp49rl-0145", "done": 3})
    page = _open(visit, busy, viewport={"width": 1024, "height": 768})
    cut = "part => part.scrollWidth > part.clientWidth"
    row = page.locator("#stream-rows > .row", has_text="evaluation.progress").first
    for part in (".row-subject", ".row-summary"):
        assert not row.locator(part).evaluate(cut)
    page.evaluate(
        """() => {
            const note = document.getElementById("note-template").content.cloneNode(true)
            note.querySelector("[data-note-text]").textContent = "reconnected, filled #1 to #3"
            document.querySelector("#stream-rows").prepend(note)
        }"""
    )
    note = page.locator(".row.note").first.bounding_box()
    assert note is not None and note["height"] < 40


def _open(visit: Visit, server: ServerProcess, path: str = "/", **options: object) -> Page:
    options.setdefault("viewport", DESKTOP)
    page = visit(server, path, **options)
    page.locator("#connection[data-state=live]").wait_for()
    return page


def _count(page: Page, pattern: str) -> Locator:
    wanted = pattern.replace("*", "%2A")
    return page.locator(f"[id='kind-{wanted}'] > .kind-line .kind-count")
