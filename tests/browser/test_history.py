"""The history page: every filter, deep links, paging in both directions, four kinds of nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

TOTAL = 250


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with 250 events: even ones evaluation.sample, odd ones queue.tick."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        events = [
            {
                "type": "evaluation.sample.scored" if n % 2 == 0 else "vendor.tick",
                "subject": f"subject-{n % 5}",
                "data": {"n": n, "word": "needle" if n == 77 else "hay"},
                "time": f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}Z",
            }
            for n in range(1, TOTAL + 1)
        ]
        server.new_api().post("/api/events", events)
        yield server


def test_the_newest_events_come_first_and_pages_lead_to_the_oldest(
    history: ServerProcess, visit: Visit
) -> None:
    page = visit(history, "/events")
    seen = _sequences(page)
    while page.get_by_role("link", name="Next page").count():
        _follow(page, "Next page")
        seen += _sequences(page)
    assert seen == list(range(TOTAL, 0, -1))
    _follow(page, "First page")
    assert _sequences(page)[0] == TOTAL


def test_oldest_first_pages_the_other_way_with_the_same_filter(
    history: ServerProcess, visit: Visit
) -> None:
    page = visit(history, "/events?type=vendor.*")
    _follow(page, "Oldest first")
    assert "type=vendor" in page.url
    seen = _sequences(page)
    _follow(page, "Next page")
    seen += _sequences(page)
    assert seen == list(range(1, TOTAL + 1, 2))


def test_a_filter_becomes_a_link_without_empty_fields(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events")
    page.get_by_label("Type", exact=True).fill("evaluation.*")
    page.get_by_label("Subject").fill("subject-3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/events?type=evaluation.*&subject=subject-3")
    assert _sequences(page) == [n for n in range(TOTAL, 0, -1) if n % 2 == 0 and n % 5 == 3]
    page.reload()
    expect(page.get_by_label("Subject")).to_have_value("subject-3")


def test_text_in_the_payload_is_found(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events")
    page.get_by_label("Text in the payload").fill("needle")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=needle")
    assert _sequences(page) == [77]


def test_a_chain_is_found_by_its_correlation_id(history: ServerProcess, visit: Visit) -> None:
    first = history.new_api().get("/api/events", order="asc", limit=1).json["events"][0]
    page = visit(history, f"/events?correlation={first['correlationid']}")
    assert _sequences(page) == [1]


def test_times_without_a_zone_are_the_readers_local_time(
    history: ServerProcess, visit: Visit
) -> None:
    page = visit(history, "/events", timezone_id="Asia/Kolkata")
    page.get_by_label("From", exact=True).fill("2026-01-01 05:31")  # 00:01 UTC
    page.get_by_label("To", exact=True).fill("2026-01-01 05:32")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**since=2026-01-01T00%3A01%3A00.000Z*")
    assert _sequences(page) == list(range(119, 59, -1))


def test_an_age_bounds_the_time(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?until=1h")
    assert _sequences(page)[0] == TOTAL
    page.goto("/events?since=1h")
    expect(page.get_by_role("heading", name="No event matches")).to_be_visible()


def test_nothing_found_offers_a_way_out(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?subject=nobody&since=1h")
    expect(page.get_by_role("heading", name="No event matches")).to_be_visible()
    page.get_by_role("link", name="Search all times").click()
    page.wait_for_url(lambda url: "since" not in url)
    page.get_by_role("link", name="Clear the filter").click()
    page.wait_for_url(lambda url: "subject" not in url)
    assert len(_sequences(page)) == 100


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("type=ev*", "Type", "whole segment"),
        ("type=a..b", "Type", "empty segment"),
        ("since=tomorrow", "From", "is not a time"),
        ("until=2026-13-45T00:00", "To", "is not a time"),
        ("until=999999d", "To", "longer ago"),
    ],
)
def test_a_wrong_filter_is_said_beside_its_field_and_kept(
    history: ServerProcess, visit: Visit, query: str, field: str, says: str
) -> None:
    page = visit(history, f"/events?{query}")
    box = page.get_by_label(field, exact=True)
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_value(query.partition("=")[2])
    expect(box).to_have_accessible_description(re.compile(says))
    expect(page.locator(".row")).to_have_count(0)


def test_a_made_up_cursor_leads_back_to_the_first_page(
    history: ServerProcess, visit: Visit
) -> None:
    page = visit(history, "/events?cursor=nonsense")
    _follow(page, "Go to the first page")
    assert len(_sequences(page)) == 100


def test_an_empty_log_says_what_to_do(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/events")
    expect(page.get_by_role("heading", name="No events yet")).to_be_visible()
    expect(page.get_by_role("group", name="curl command")).to_contain_text(
        f"curl -X POST {server.url}/api/events"
    )


def test_others_like_an_event_are_one_click_away(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events/at/77")
    page.get_by_role("link", name="Of this type about this subject").click()
    page.wait_for_url("**/events?type=vendor.tick&subject=subject-2")
    assert 77 in _sequences(page)


def test_an_id_that_no_path_can_hold_still_has_a_page(history: ServerProcess, visit: Visit) -> None:
    for strange in ("..", "a/b?c#d%2e", "ünïcode ✓", "at/1"):
        history.new_api().publish("strange.id", {}, id=strange, source="/strange")
        page = visit(history, "/events?type=strange.id")
        page.locator(".row-link").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("strange.id")
        expect(page.get_by_role("region", name="Envelope").locator("code").first).to_have_text(
            strange
        )


def _follow(page: Page, link: str) -> None:
    # A click returns before the next page is there; what is read then may be the page left.
    with page.expect_navigation():
        page.get_by_role("link", name=link).click()


def _sequences(page: Page) -> list[int]:
    return [int(text) for text in page.locator(".rows .row-seq").all_inner_texts()]
