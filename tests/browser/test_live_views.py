"""Saved views: filters with a name, kept on the server and shared by a link."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def teamwork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with three events of two families."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        for type in ("vendor.a", "vendor.b", "queue.x"):
            server.new_api().publish(type, {})
        yield server


def test_a_filter_is_saved_opened_by_link_renamed_and_deleted(
    teamwork: ServerProcess, visit: Visit
) -> None:
    page = visit(teamwork, "/?type=vendor.*")
    page.locator("#connection[data-state=live]").wait_for()
    menu = page.locator("summary", has_text="Views")
    menu.click()
    expect(page.get_by_text("No saved views yet")).to_be_visible()
    page.get_by_label("Name of the view").fill("Tonight & more")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/?view=Tonight+%26+more")
    expect(page.locator("#stream-rows > .row")).to_have_count(2)
    expect(page).to_have_title("Live · Tonight & more · Event Bus")
    teamwork.new_api().publish("vendor.c", {})
    expect(page.locator("#stream-rows > .row")).to_have_count(3)

    other = visit(teamwork, "/")
    other.locator("summary", has_text="Views").click()
    other.get_by_role("link", name="Tonight & more").click()
    expect(other.locator("#stream-rows > .row")).to_have_count(3)
    _change(other, "Tonight & more")
    other.get_by_label("New name of Tonight & more").fill("Vendors")
    other.get_by_role("button", name="Rename").click()
    other.wait_for_url("**/?view=Vendors")

    page.reload()
    expect(page.get_by_text("There is no saved view called")).to_be_visible()
    _change(other, "Vendors")
    other.get_by_role("button", name="Delete").click()
    other.wait_for_url("**/?type=vendor.*")
    assert teamwork.new_api().get("/api/views").json == {"views": []}
    audit = teamwork.new_api().get("/api/events", type="dashboard.view.*", order="asc").json
    assert [(each["type"], each["data"]["by"]) for each in audit["events"]] == [
        ("dashboard.view.saved", "dashboard"),
        ("dashboard.view.renamed", "dashboard"),
        ("dashboard.view.deleted", "dashboard"),
    ]


def test_a_name_that_is_taken_says_so_where_it_was_typed(
    teamwork: ServerProcess, visit: Visit
) -> None:
    for name in ("one", "two"):
        teamwork.new_api().post("/api/views", {"name": name, "type": "queue.*"})
    page = visit(teamwork, "/?view=one")
    _change(page, "two")
    page.get_by_label("New name of two").fill("one")
    page.get_by_role("button", name="Rename").last.click()
    expect(page.locator("#view-error")).to_contain_text("already")
    expect(page.locator("#views .view")).to_have_count(2)
    _change(page, "two", is_open=True)
    page.get_by_role("button", name="Delete").last.click()
    expect(page.locator("#views .view")).to_have_count(1)
    teamwork.new_api().post("/api/views/delete", {"name": "one"})


def test_views_can_be_kept_without_a_script(teamwork: ServerProcess, visit: Visit) -> None:
    page = visit(teamwork, "/?type=queue.*", java_script_enabled=False)
    page.locator("summary", has_text="Views").click()
    page.get_by_label("Name of the view").fill("plain")
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    assert page.url.endswith("/?view=plain")
    _change(page, "plain")
    with page.expect_navigation():
        page.get_by_role("button", name="Delete").click()
    assert teamwork.new_api().get("/api/views").json == {"views": []}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_menu_and_the_list_of_types(
    teamwork: ServerProcess, visit: Visit, theme: str
) -> None:
    teamwork.new_api().post("/api/views", {"name": "seen", "type": "queue.*"})
    page = visit(teamwork, "/?view=seen", color_scheme=theme)
    page.locator("#connection[data-state=live]").wait_for()
    _change(page, "seen")
    assert not Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    page.locator("[data-filter]").fill("vendor")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowDown")
    assert not Axe().run(page).response["violations"]
    teamwork.new_api().post("/api/views/delete", {"name": "seen"})


@pytest.mark.parametrize(
    ("path", "body", "status", "pointer"),
    [
        ("/api/views", {"name": " x", "type": "a.*"}, 400, "/name"),
        ("/api/views", {"name": "x", "type": "a*"}, 400, "/type"),
        ("/api/views", {}, 400, "/name"),
        ("/api/views/rename", {"name": "nobody", "to": "x"}, 404, None),
        ("/api/views/delete", {"name": "nobody"}, 404, None),
        ("/api/views/delete", {"name": ["x"]}, 400, "/name"),
    ],
)
def test_a_wrong_view_is_refused_with_its_field(
    teamwork: ServerProcess, path: str, body: object, status: int, pointer: str | None
) -> None:
    answer = teamwork.new_api().post(path, body)
    assert answer.status == status
    if pointer:
        assert answer.json["errors"][0]["pointer"] == pointer


def _change(page: Page, name: str, is_open: bool = False) -> None:
    if not is_open:
        page.locator(".views-menu > summary").click()
    page.locator(f"summary[aria-label='Change the view {name}']").click()
