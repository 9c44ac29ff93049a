"""The history page: every filter, deep links, paging in both directions, four kinds of nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

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


def test_pages_lead_back_as_they_led_on(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?type=vendor.*")
    first = _sequences(page)
    _follow(page, "Next page")
    second = _sequences(page)
    _follow(page, "Newer")
    assert _sequences(page) == first
    _follow(page, "Older")
    assert _sequences(page) == second
    _follow(page, "Previous page")
    assert _sequences(page) == first
    assert "cursor" not in page.url, "the beginning has what came meanwhile"
    page.goto("/events?at=121&type=vendor.*")
    assert _sequences(page)[0] == 121
    _follow(page, "Previous page")
    assert _sequences(page) == [*first, *second][:100]
    page.get_by_label("Go to #").fill("11")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert _sequences(page) == [11, 9, 7, 5, 3, 1]


def test_a_range_is_dragged_on_the_histogram(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?type=vendor.*&until=2026-01-01T01:00:00Z")
    columns = page.locator(".histogram .column")
    first, last = columns.nth(10), columns.nth(19)
    start, end = first.get_attribute("data-start"), last.get_attribute("data-end")
    counted = sum(int(columns.nth(n).get_attribute("data-count") or 0) for n in range(10, 20))
    left, right = first.bounding_box(), last.bounding_box()
    assert left and right
    page.mouse.move(left["x"] + left["width"] / 2, left["y"] + 20)
    page.mouse.down()
    page.mouse.move(right["x"] + right["width"] / 2, right["y"] + 20, steps=3)
    expect(page.locator("[data-said]")).to_contain_text(f"{counted} events")
    with page.expect_navigation():
        page.mouse.up()
    assert page.evaluate("Object.fromEntries(new URLSearchParams(location.search))") == {
        "type": "vendor.*", "since": start, "until": end,
    }  # fmt: skip
    assert len(_sequences(page)) == counted > 0
    with page.expect_navigation():
        page.get_by_role("link", name="All times").click()
    assert "since" not in page.url


def test_the_histogram_works_by_keyboard(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?until=2026-01-01T01:00:00Z")
    columns = page.locator(".histogram .column")
    columns.first.focus()
    page.keyboard.press("ArrowRight")
    expect(columns.nth(1)).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".histogram .column.in")).to_have_count(4)
    page.keyboard.press("Escape")
    expect(page.locator(".histogram .column.in")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    start = columns.nth(3).get_attribute("data-start")
    end = columns.nth(4).get_attribute("data-end")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.evaluate("new URLSearchParams(location.search).get('since')") == start
    assert page.evaluate("new URLSearchParams(location.search).get('until')") == end


def test_the_histogram_is_links_without_scripts(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?until=2026-01-01T01:00:00Z", java_script_enabled=False)
    column = page.locator(".histogram .column").first
    count = int(column.get_attribute("data-count") or 0)
    with page.expect_navigation():
        column.click()
    assert len(_sequences(page)) == count > 0


def test_words_that_only_begin_so_are_offered(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?q=need")
    _follow(page, "Find words that begin so")
    assert _sequences(page) == [77]
    page.goto('/events?q="open')
    box = page.get_by_label("Text", exact=True)
    expect(box).to_have_accessible_description(re.compile("not closed"))


def test_an_export_shows_how_far_it_is(history: ServerProcess, visit: Visit) -> None:
    page = visit(history, "/events?type=vendor.*")
    _follow(page, "Export")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download NDJSON").click()
    text = download.value.path().read_text()
    assert len(text.splitlines()) == TOTAL // 2
    expect(page.get_by_role("status")).to_contain_text("125 events in")


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
    page.get_by_label("Text", exact=True).fill("needle")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=needle")
    assert _sequences(page) == [77]
    expect(page.locator(".row-summary mark")).to_have_text("needle")
    expect(page.locator("[data-histogram]")).to_have_count(0)
    page.goto("/events?since=2026-01-01T00:01:00Z&until=2026-01-01T00:01:03Z")
    ticks = page.locator("[data-tick]").all_text_contents()
    assert len(set(ticks)) == len(ticks), "moments close together are told apart"


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
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-01-01 05:31:00")
    page.get_by_label("Text").fill("nowhere")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=nowhere**since=2026-01-01T00%3A01%3A00.000Z*")


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


def test_a_file_is_imported_and_what_became_of_it_is_told(
    history: ServerProcess, visit: Visit
) -> None:
    first = history.new_api().get("/api/events", order="asc", limit=1).text
    event = first[first.index("[") + 1 : first.rindex("]")]
    page = visit(history, "/events/import")
    page.get_by_label("NDJSON file").set_input_files({
        "name": "some.ndjson", "mimeType": "application/x-ndjson",
        "buffer": (event + '\n{"type": "vendor.*"}\n').encode(),
    })  # fmt: skip
    page.get_by_role("button", name="Import").click()
    counts = page.locator(".counts dd")
    expect(counts).to_have_text(["0", "1", "1"])
    row = page.get_by_role("region", name="Refused lines").get_by_role("row").nth(1)
    expect(row).to_contain_text("wildcard")
    told = history.new_api().get("/api/events", type="bus.events.imported").json["events"][0]
    assert told["data"]["name"] == "some.ndjson"
    assert told["data"]["by"] == "dashboard"


def test_what_comes_meanwhile_is_told_and_brought_in_on_demand(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server()
    publish = server.new_api().publish
    for n in range(120):
        publish("shop.sold", {"n": n}, subject="a")
    page = visit(server, "/events?type=shop.*&subject=a")
    before = _sequences(page)
    page.get_by_label("Text", exact=True).fill("half typ")
    for subject in ("a", "b", "a", "a"):
        publish("shop.sold", {}, subject=subject)
    new = page.locator("[data-news]")
    expect(new).to_have_text("+3 new")
    expect(page.locator("[data-news-said]")).to_have_text("New events match.")
    assert _sequences(page) == before, "rows move for nobody who did not ask"
    page.evaluate("scrollTo(0, 150)")
    new.press("Enter")
    first = page.locator(".rows .row-link").first
    expect(first).to_be_focused()
    expect(new).to_be_hidden()
    newest = server.new_api().get("/api/events", subject="a", limit=3).json["events"]
    assert _sequences(page) == [*(each["sequence"] for each in newest), *before[:97]]
    expect(page.locator(".rows .row[data-fresh]")).to_have_count(3)
    expect(page.locator("[data-said]")).to_contain_text("123 events")
    expect(page.get_by_label("Text", exact=True)).to_have_value("half typ")
    assert page.evaluate("scrollY") == 150
    assert page.url.endswith("/events?type=shop.*&subject=a")
    publish("shop.sold", {}, subject="a")
    expect(new).to_have_text("+1 new")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    new.click()
    expect(first).to_be_focused()
    expect(first).to_be_in_viewport()


@pytest.mark.parametrize("way", ["back", "link"])
def test_back_from_an_event_its_row_is_found_though_newer_ones_pushed_it_off_the_page(
    start_server: Callable[..., ServerProcess], visit: Visit, way: str
) -> None:
    server = start_server()
    batch = [{"type": "shop.sold", "subject": "a"}, {"type": "shop.sold", "subject": "b"}] * 110
    server.new_api().post("/api/events", batch)
    page = visit(server, "/events")
    page.route("**/events?*", lambda route: route.continue_())  # keeps no page of before
    page.goto("/events?subject=a")
    row = page.locator(".rows .row-link").nth(40)
    for older in (False, True):
        if older:
            page.goto("/events?subject=a")
            _follow(page, "Next page")
            row = page.locator(".rows .row-link").nth(3)
        href = row.get_attribute("href") or ""
        row.press("Enter")
        page.wait_for_url(f"**{href}")
        server.new_api().post("/api/events", batch)
        if way == "back":
            page.go_back(wait_until="commit")
        else:
            page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").click()
        focused = page.locator(f".rows .row-link[href='{href}']")
        expect(focused).to_be_focused()
        expect(focused).to_be_in_viewport()
        expect(page.get_by_label("Subject")).to_have_value("a")


def test_only_whoever_looks_at_the_newest_events_asks_for_more(
    history: ServerProcess, visit: Visit
) -> None:
    page = visit(history, "/events?subject=subject-1")
    asked: list[str] = []
    page.on("request", lambda request: "/news" in request.url and asked.append(request.url))
    page.clock.install(time=0)
    page.clock.pause_at(60_000)
    page.goto("/events?subject=subject-1")
    with page.expect_response("**/events/news*"):
        page.clock.run_for(2_000)
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, value: true})")
    asked.clear()
    page.clock.run_for(20_000)
    assert page.evaluate("fetch('/healthz').then(({status}) => status)") == 200
    assert asked == [], "a tab that nobody sees rests"
    page.evaluate("delete document.hidden")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.clock.run_for(2_000) or asked, "it asks when it is seen again")
    for older in ("order=asc", "until=2026-01-01T01:00:00Z", "at=200", "cursor=MTAw", "type=ev*"):
        page.goto(f"/events?{older}")
        expect(page.locator("[data-news]")).to_have_count(0)


@pytest.mark.parametrize("wrong", ["after=-1", "after=", "after=1&type=a..b", "after=1&since=x"])
def test_news_of_a_wrong_filter_are_refused(history: ServerProcess, wrong: str) -> None:
    answer = history.new_api().get(f"/events/news?{wrong}")
    assert answer.status == 400
    assert answer.json["errors"][0]["parameter"] in ("after", "type", "since")


def _follow(page: Page, link: str) -> None:
    # A click returns before the next page is there; what is read then may be the page left.
    with page.expect_navigation():
        page.get_by_role("link", name=link).click()


def _sequences(page: Page) -> list[int]:
    return [int(text) for text in page.locator(".rows .row-seq").all_text_contents()]
