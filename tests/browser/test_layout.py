"""Every page, at every width and in both themes: no sideways scrolling, nothing found by axe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.helpers.pages import IMPATIENT, Visit, fill, paths
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1024, 1440, 2560)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has something of everything."""
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        fill(server)
        yield server


def test_no_page_scrolls_sideways_at_any_width(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled)
    too_wide = []
    for name, path in paths(filled).items():
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            content = page.evaluate("document.documentElement.scrollWidth")
            if content > width:
                too_wide.append(f"{name} at {width}: {content}")
    assert not too_wide


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
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_violation(
    filled: ServerProcess, visit: Visit, theme: str, width: int
) -> None:
    page = visit(filled, color_scheme=theme, viewport={"width": width, "height": 900})
    found = {name: _violations(page, path) for name, path in paths(filled).items()}
    assert not {name: problems for name, problems in found.items() if problems}


def test_axe_finds_no_violation_where_a_list_has_more_pages(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server()
    started = [
        {"type": "evaluation.started", "data": {"eval_id": f"eval-{number}"}}
        for number in range(101)
    ]
    server.new_api().post("/api/events", started)
    page = visit(server)
    for path in ("/events", "/evaluations"):
        page.goto(path)
        expect(page.get_by_role("link", name="Next page")).to_be_visible()
        assert not _violations(page, None)


def test_axe_finds_no_violation_on_pages_without_data(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    found = {
        path: _violations(page, path)
        for path in (
            "/",
            "/events",
            "/evaluations",
            "/retries",
            "/retries/dead",
            "/retries/operations",
            "/alerts",
            "/flow",
            "/handlers",
            "/publish",
        )  # fmt: skip
    }
    assert not {path: problems for path, problems in found.items() if problems}


def test_the_help_dialog_has_no_violation(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    assert not _violations(page, None)


def test_nothing_moves_when_less_motion_is_wanted(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, reduced_motion="reduce")
    page.locator("#connection[data-state=live]").wait_for()
    running = page.evaluate(
        "document.getAnimations().filter((each) => each.playState === 'running').length"
    )
    assert running == 0


def _violations(page: Page, path: str | None) -> list[str]:
    """What axe has to say about a page, one line for each element."""
    if path is not None:
        page.goto(path)
        if (path.startswith("/?") or path == "/") and "at=" not in path:
            page.locator("#connection[data-state=live]").wait_for()
    results = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in results
        for node in violation["nodes"]
    ]


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
