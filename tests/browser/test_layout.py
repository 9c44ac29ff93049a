"""Every page, at every width and in both themes: no sideways scrolling, nothing found by axe."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.helpers.pages import IMPATIENT, Visit, fill, paths, sideways
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser

# As after a restart, for as long as one likes: the page itself writes into another element.
SAY_FILLED = """() => {
    const connection = document.getElementById("connection")
    connection.replaceWith(connection.cloneNode(true))
    document.getElementById("connection").dataset.state = "restarted"
    const text = "server restarted, filled #123456789–#123456999"
    document.getElementById("connection-text").textContent = text
    document.querySelector("[data-notify]").hidden = false
    for (const count of document.querySelectorAll(".nav-count")) {
        const shown = count.cloneNode()
        Object.assign(shown, { hidden: false, textContent: "99+" })
        count.replaceWith(shown)
    }
}"""
CUT = """() => {
    const text = document.getElementById("connection-text")
    const { left, right, top, bottom } = text.getBoundingClientRect()
    const nav = document.querySelector(".nav").getBoundingClientRect()
    const bar = document.querySelector(".topbar").getBoundingClientRect()
    const api = document.querySelector(".api-link").getBoundingClientRect()
    const found = []
    if (text.scrollHeight > text.clientHeight + 1) found.push("lines are cut off")
    if (text.scrollWidth > text.clientWidth) found.push("a line is cut off")
    if (left < 0 || right > innerWidth) found.push("it leaves the window")
    if (top < bar.bottom && top < nav.bottom && bottom > nav.top && left < nav.right)
        found.push("it lies on the navigation")
    if (api.height > 30) found.push("API is broken in two")
    return found
}"""
WIDTHS = (360, 768, 1024, 1440, 2560)
SHAPES = ((1440, 900), (1440, 500), (1100, 500), (1024, 600), (740, 360), (360, 700))
AXE = Axe().axe_script
# A row out of sight keeps the colours and the width that it was last drawn with.
ALL_DRAWN = """() => document.styleSheets[0].insertRule(
    "* { content-visibility: visible !important }", document.styleSheets[0].cssRules.length
)"""
# Without motion, too, a colour takes a frame or two to become another.
SETTLED = """async () => {
    for (let frame = 0; frame < 2; frame += 1) {
        await new Promise(requestAnimationFrame);
        const changes = document.getAnimations().filter((each) => each instanceof CSSTransition);
        await Promise.allSettled(changes.map((each) => each.finished));
    }
}"""
# All that a theme can change of what axe sees.
COLOURS = ("color-contrast", "link-in-text-block")
# Before that some element may still have the other theme's colour.
PAINTED = "() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(() => go())))"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has something of everything."""
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        fill(server)
        yield server


def test_every_page_is_whole_at_every_width_and_in_both_themes(
    filled: ServerProcess, visit: Visit
) -> None:
    # One visit shows a page in all its looks: what costs time is to load it.
    page = visit(filled, color_scheme="light", reduced_motion="reduce")
    found = {}
    for turn, (name, path) in enumerate(paths(filled).items()):
        _open(page, path)
        found[name] = _outline(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            found[name] += filter(None, [sideways(page)])
        # All rules at one of the widths in turn, at the other those that its theme can break.
        _look(page, "light", 360)
        found[name] += _violations(page, COLOURS if turn % 2 else ())
        _look(page, "dark", 1280)
        found[name] += _violations(page, () if turn % 2 else COLOURS)
    assert not {name: problems for name, problems in found.items() if problems}


def _outline(page: Page) -> list[str]:
    """What is missing of the things that every page has."""
    has = {
        "a title": page.title().endswith("Event Bus"),
        "one heading": page.locator("h1").count() == 1,
        "one main part": page.locator("main#content, main#live").count() == 1,
        "navigation": page.get_by_role("navigation", name="Pages").first.is_visible(),
    }
    return [f"it lacks {part}" for part, is_there in has.items() if not is_there]


def _look(page: Page, theme: Literal["light", "dark"], width: int) -> None:
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(PAINTED)


def _open(page: Page, path: str) -> None:
    """Open it, with axe in it; the live page also has to be connected."""
    page.goto(path)
    if (path.startswith("/?") or path == "/") and "at=" not in path:
        page.locator("#connection[data-state=live]").wait_for()
    page.evaluate(AXE)
    page.evaluate(ALL_DRAWN)


def _violations(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe has to say about a page that was opened, one line for each element."""
    page.evaluate(SETTLED)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    results = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in results
        for node in violation["nodes"]
    ]


def test_no_part_of_the_live_page_lies_over_another_in_a_window_of_any_shape(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled)
    page.locator("#connection[data-state=live]").wait_for()
    for width, height in SHAPES:
        page.set_viewport_size({"width": width, "height": height})
        # It may take some frames until the whole page is laid out for it.
        count = 2 if width <= 880 else 4  # a phone shows one at a time
        wait_until(
            lambda count=count: len(boxes := _parts(page)) == count and not _overlap(boxes),
            f"at {width} x {height} {count} parts lie beside each other",
        )


def _parts(page: Page) -> list[dict[str, float]]:
    """Where the parts of the live page are that are shown."""
    return page.evaluate(
        """() => [".counters", ".stream-panel", ".types-panel", ".live-side"]
            .map(part => document.querySelector(part).getBoundingClientRect().toJSON())
            .filter(box => box.width && box.height)"""
    )


def _overlap(boxes: list[dict[str, float]]) -> bool:
    return any(
        one["right"] > other["left"] + 1
        and other["right"] > one["left"] + 1
        and one["bottom"] > other["top"] + 1
        and other["bottom"] > one["top"] + 1
        for one, other in itertools.combinations(boxes, 2)
    )


def test_what_a_restart_filled_in_is_read_in_whole_at_every_width(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled)
    page.locator("#connection[data-state=live]").wait_for()
    page.evaluate(SAY_FILLED)
    found = {}
    for width in (360, 600, 882, 1024, 1100, 1190, 1280, 1366, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        found[width] = [each for each in [sideways(page)] if each]
        found[width] += page.evaluate(CUT)
    assert not {width: problems for width, problems in found.items() if problems}


def test_long_words_do_not_widen_a_phone(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server(**IMPATIENT)
    word = "x" * 200
    server.new_api().publish(f"long.{word[:120]}.{word[:100]}", {"eval_id": word, word: word})
    server.new_api().publish("evaluation.started", {"eval_id": word, "task": word, "model": word})
    server.new_api().publish(
        "evaluation.failed",
        {"eval_id": word, "error": {"type": word, "message": word, "severity": "critical"}},
    )
    server.new_api().publish("storage.file.created", {"path": word, "bytes": 1, "eval_id": word})
    newest = server.new_api().get("/api/events", type="evaluation.failed").json["events"][0]
    page = visit(server, viewport={"width": 360, "height": 700})
    for path in ("/", "/events", f"/events/{newest['id']}", "/evaluations", f"/evaluations/{word}",
                 "/retries", "/alerts", f"/publish?like={newest['sequence']}"):  # fmt: skip
        page.goto(path)
        assert not sideways(page), path


def test_axe_finds_no_violation_where_a_list_has_more_pages(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server()
    started = [
        {"type": "evaluation.started", "data": {"eval_id": f"eval-{number}"}}
        for number in range(101)
    ]
    server.new_api().post("/api/events", started)
    wait_until(lambda: server.new_api().counters()["active"] == 101, "all of them are handled")
    page = visit(server)
    for path in ("/events", "/evaluations"):
        _open(page, path)
        expect(page.get_by_role("link", name="Next page")).to_be_visible()
        assert not _violations(page)


def test_axe_finds_no_violation_on_pages_without_data(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    found = {}
    for path in (
        "/", "/events", "/evaluations", "/retries", "/retries/dead", "/retries/operations",
        "/alerts", "/flow", "/handlers", "/publish",
    ):  # fmt: skip
        _open(page, path)
        found[path] = _violations(page)
    assert not {path: problems for path, problems in found.items() if problems}


def test_the_help_dialog_has_no_violation(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled)
    _open(page, "/events")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    assert not _violations(page)


def test_nothing_moves_when_less_motion_is_wanted(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, reduced_motion="reduce")
    page.locator("#connection[data-state=live]").wait_for()
    longest_ms = page.evaluate(  # one millisecond stands for none, and may be under way
        """Math.max(0, ...document.getAnimations().map(each => each.effect.getComputedTiming())
            .map(({ endTime }) => endTime))"""
    )
    assert longest_ms <= 1


def test_the_current_tab_is_in_sight_on_a_phone(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/retries/operations", viewport={"width": 360, "height": 740})
    current = page.locator(".tabs [aria-current]")
    expect(current).to_have_text("Operations")
    expect(current).to_be_in_viewport(ratio=1)


def test_every_page_is_within_reach_of_a_thumb(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/handlers", viewport={"width": 360, "height": 740})
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    boxes = [link.bounding_box() for link in links.all()]
    assert len(boxes) == 9
    edge = 0.0
    for box in boxes:
        assert box is not None and box["width"] >= 24 and box["height"] >= 44
        assert box["x"] >= edge - 0.5, "no entry lies on another"
        edge = box["x"] + box["width"]
    assert edge <= 360
    for name in ("Live", "Evaluations", "Handlers"):  # also where only the icon is seen
        expect(links.filter(has_text=name)).to_have_accessible_name(re.compile(name))
