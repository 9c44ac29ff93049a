"""The catalogue in a browser: finding a type, reading it, declaring it, taking it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.helpers.pages import IMPATIENT, Visit, declare, go
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        api = server.new_api()
        api.publish("evaluation.started", {"eval_id": "e-1", "task": "gsm8k"})
        failed = {"eval_id": "e-1", "error": {"type": "E", "severity": "critical"}}
        api.publish("evaluation.failed", failed)
        api.publish("vendor.thing.happened", {"nested": {"list": [1]}}, source="/vendor/7")
        declare(server)
        yield server


def test_a_type_is_found_by_a_word_of_its_description(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/")
    go(page, "c")
    page.wait_for_url("**/types")  # and all of its scripts
    expect(page.locator("h1")).to_have_text("Catalogue")
    page.keyboard.press("/")
    page.keyboard.type("thing happened")
    page.keyboard.press("Enter")
    row = page.locator(".catalogue-table tbody tr", has_text="vendor.thing.happened")
    expect(row).to_contain_text("A thing happened · Vendor")
    for width in (1440, 1024, 360):
        page.set_viewport_size({"width": width, "height": 800})
        expect(row.get_by_text("/vendor/7").locator("visible=true")).to_have_count(1)
    expect(row.locator('[data-label="violations"]')).to_have_text("1")
    row.locator("a").first.click()
    expect(page.locator("h1")).to_have_text("vendor.thing.happened")
    expect(page.locator("#violations")).to_contain_text("/data/nested is required")
    nested = page.locator(".schema-table tr", has_text="nested").first
    expect(nested).to_contain_text("required")


def test_what_flows_is_told_beside_the_type(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/types/evaluation.failed")
    expect(page.get_by_role("region", name="Handled by")).to_contain_text("evaluation.+")
    causes = page.get_by_role("region", name="Causes")
    # The roll-up is a second or two behind the log.
    wait_until(lambda: page.reload() and causes.count(), "what it causes is counted")
    expect(causes).to_contain_text("alert.critical")
    causes.get_by_role("link", name="alert.critical").click()
    expect(page.get_by_role("region", name="Caused by")).to_contain_text("evaluation.failed")


def test_a_type_that_was_only_seen_is_declared_with_what_was_seen(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/types?state=seen")
    page.get_by_role("link", name="vendor.undeclared").click()
    expect(page.locator("#schema")).to_contain_text("read off recorded events")
    expect(page.locator(".schema-table")).to_contain_text("array of object")
    text = page.get_by_label("As a file for the folder")
    draft = text.input_value()
    assert '"type": "vendor.undeclared"' in draft
    text.fill(draft.replace('"title": ""', '"title": 7'))
    page.get_by_role("button", name="Declare it").click()
    expect(page.locator("#declare-errors")).to_contain_text("/title must be text, not 7")
    text.fill(text.input_value().replace('"title": 7', '"title": "Rows came"'))
    page.get_by_role("button", name="Declare it").click()
    expect(page.locator(".type-says").first).to_have_text("Rows came.")
    assert server.new_api().post("/api/events", {"type": "vendor.undeclared"}).status == 400
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".type-says").first).to_contain_text("Nobody has declared this type")
    assert server.new_api().post("/api/events", {"type": "vendor.undeclared"}).status == 202


def test_one_like_this_can_be_published_from_here(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/types/evaluation.retry")
    page.get_by_role("link", name="Publish one like this").click()
    expect(page.get_by_label("Type", exact=True)).to_have_value("evaluation.retry")
    expect(page.get_by_label("Data, a JSON object")).to_contain_text('"retry_count": 1')
