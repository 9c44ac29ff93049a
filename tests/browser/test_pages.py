"""What all pages have in common: navigation, keys, theme, times, copying, errors, no scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import IMPATIENT, Visit, fill, go, hold_still, paths, sideways
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has something of everything."""
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        fill(server)
        yield server


def test_the_navigation_marks_where_one_is(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled)
    for name in ("Live", "Events", "Evaluations", "Retries", "Alerts", "Publish"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        current = page.locator(".nav [aria-current=page]")
        expect(current).to_contain_text(name)


def test_the_navigation_counts_what_needs_somebody(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events")
    api = filled.new_api()
    counters = api.counters()
    exhausted = len(api.get("/api/evaluations", state="exhausted").json["evaluations"])
    in_inbox = str(exhausted + counters["dead_letters"])
    assert exhausted, "an evaluation out of retries is in the inbox too"
    for path in ("/events", "/retries", "/"):
        page.goto(path)
        expect(page.locator("[data-nav-count=alerts]")).to_have_text(str(counters["open_alerts"]))
        expect(page.locator("[data-nav-count=retries]")).to_have_text(in_inbox)


@pytest.mark.parametrize(
    ("key", "path"),
    [("e", "/events"), ("v", "/evaluations"), ("r", "/retries"), ("a", "/alerts"),
     ("f", "/flow"), ("h", "/handlers"), ("p", "/publish")],
)  # fmt: skip
def test_g_and_a_letter_go_to_a_page(
    filled: ServerProcess, visit: Visit, key: str, path: str
) -> None:
    page = visit(filled)
    go(page, key)
    page.wait_for_url(f"**{path}")


def test_g_and_l_go_to_the_live_page_and_t_opens_its_times(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/handlers")
    page.keyboard.press("t")  # no times here: nothing happens
    go(page, "l")
    page.wait_for_url(filled.url + "/")
    page.keyboard.press("t")
    expect(page.get_by_label("See this page as it was at")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("See this page as it was at")).to_be_hidden()
    page.goto("/evaluations?at=9")
    page.keyboard.press("t")
    expect(page.get_by_label("Go to this time")).to_be_focused()


def test_keys_mean_nothing_while_typing(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events")
    page.get_by_label("Text", exact=True).focus()
    page.keyboard.type("gp?/")
    expect(page.get_by_label("Text", exact=True)).to_have_value("gp?/")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_slash_goes_to_the_filter(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events")
    page.keyboard.press("/")
    expect(page.get_by_label("Type", exact=True)).to_be_focused()
    page.goto("/handlers")
    page.keyboard.press("/")
    expect(page.get_by_label("From", exact=True)).to_be_focused()
    page.goto("/publish")
    page.keyboard.press("/")
    expect(page.get_by_role("status").last).to_have_text("There is nothing to filter on this page.")


def test_j_and_k_walk_through_the_rows_and_enter_opens_one(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/events")
    links = page.locator(".row-link")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(links.last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/events/.+"))


def test_dead_letters_and_a_chain_are_walked_through_by_keys_too(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/retries/dead")
    page.keyboard.press("j")
    line = page.locator("#dead .letter summary").first
    expect(line).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Attempt 1", exact=True)).to_be_visible()
    page.goto(paths(filled)["event"])
    stops = page.locator(".chain-what > a")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(stops.nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("evaluation.failed")


def test_a_server_that_does_not_answer_is_said_and_asked_again(
    server: ServerProcess, visit: Visit
) -> None:
    server.api.publish("evaluation.started", {"eval_id": "first"})
    page = visit(server, "/evaluations")
    line, row = page.get_by_role("alert"), page.get_by_role("link", name="first")
    expect(row).to_be_visible()
    page.route("**/evaluations", lambda route: route.abort())
    server.api.publish("evaluation.started", {"eval_id": "second"})
    expect(line).to_contain_text("The server does not answer: what is shown may be old.")
    # From here on it is asked by the button alone.
    page.evaluate("for (let id = 0; id < 1000; id++) clearInterval(id)")
    page.route("**/evaluations", lambda route: route.fulfill(status=503, body="<p>busy"))
    page.get_by_role("button", name="Try again").click()
    expect(line).to_contain_text("The server answers with an error (503)")
    expect(row).to_be_visible()
    page.unroute("**/evaluations")
    page.get_by_role("button", name="Try again").click()
    expect(line).to_have_count(0)
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()


def test_a_new_alert_is_told_to_a_screen_reader(server: ServerProcess, visit: Visit) -> None:
    server.api.publish("alert.warning", {"service": "sandbox", "error": "slow start"})
    page = visit(server, "/alerts")
    expect(page.get_by_role("main")).to_contain_text("slow start")
    server.api.publish("alert.critical", {"service": "gateway", "error": "gone"})
    expect(page.locator("body > [aria-live=polite]")).to_have_text("2 open alerts.")


def test_the_focus_stays_on_its_row_while_the_list_is_brought_up_to_date(
    server: ServerProcess, visit: Visit
) -> None:
    server.api.publish("evaluation.started", {"eval_id": "first"})
    page = visit(server, "/evaluations")
    page.keyboard.press("j")
    row = page.get_by_role("link", name="first")
    expect(row).to_be_focused()
    server.api.publish("evaluation.started", {"eval_id": "second"})
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(row).to_be_focused()


def test_the_help_opens_by_key_and_by_button_and_closes_by_escape(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/alerts")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(dialog).to_be_visible()


def test_the_skip_link_leads_past_the_navigation(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_the_theme_is_switched_remembered_and_there_before_the_first_paint(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/events", color_scheme="light")
    light = _background(page)
    button = page.locator("[data-theme-switch]")
    button.click()  # system -> light
    expect(button).to_have_attribute("aria-label", "Theme: light")
    button.click()  # light -> dark
    expect(button).to_have_attribute("aria-label", "Theme: dark")
    dark = _background(page)
    assert dark != light
    # Stopped before any module runs, the page is dark already.
    page.route("**/static/js/app.js", lambda route: route.abort())
    page.goto("/alerts")
    assert _background(page) == dark
    page.unroute("**/static/js/app.js")
    page.goto("/alerts")
    button.click()  # dark -> system
    assert _background(page) == light
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: _background(page) == dark, "it is as dark as the system")


def test_times_are_local_tick_and_say_the_exact_moment(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/events", timezone_id="Asia/Kolkata", locale="en-GB")
    newest = filled.new_api().get("/api/events", limit=1).json["events"][0]
    shown = page.locator(".row time").first
    hour, minute = int(newest["time"][11:13]), int(newest["time"][14:16])
    local = (hour * 60 + minute + 330) % (24 * 60)
    expect(shown).to_contain_text(f"{local // 60:02d}:{local % 60:02d}")
    shown.hover()
    expect(shown).to_have_attribute("title", re.compile(re.escape(newest["time"])))


def test_times_read_exactly_without_a_pointer_and_that_is_kept(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/evaluations/running-1", timezone_id="Asia/Kolkata")
    started = filled.new_api().get("/api/evaluations/running-1").json["started_at"]
    utc = started[11:19]
    hour, minute = int(utc[:2]), int(utc[3:5])
    local = (hour * 60 + minute + 330) % (24 * 60)
    age, running = (
        page.locator(".facts [data-relative]").first,
        page.locator(".facts [data-elapsed-since]"),
    )
    expect(age).to_have_text(re.compile("ago|just now"))
    page.keyboard.press("z")
    expect(age).to_have_text(re.compile(f"{local // 60:02d}:{local % 60:02d}{utc[5:]}$"))
    page.get_by_role("button", name="Times: exact, in your time zone").click()
    expect(age).to_have_text(re.compile(f"{utc}Z$"))
    expect(running).to_have_text(re.compile(f"^since .*{utc}Z$"))
    page.reload()
    expect(age).to_have_text(re.compile(f"{utc}Z$"))
    page.goto("/events")
    expect(page.locator(".row time").first).to_have_text(re.compile(r"\d\.\d{3}Z$"))
    page.keyboard.press("z")
    expect(page.get_by_role("button", name="Times: relative")).to_be_visible()


def test_an_elapsed_time_ticks(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/evaluations/running-1")
    clock = page.locator("[data-elapsed-since]").first
    first = clock.inner_text()
    assert re.fullmatch(r"\d+:\d\d", first)
    expect(clock).not_to_have_text(first)


def test_a_wrong_clock_of_the_reader_does_not_change_ages(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/evaluations/running-1")
    page.add_init_script("""
        const ahead = 3600e3, now = Date.now;
        Date.now = () => now() + ahead;
        Object.defineProperty(performance, "timeOrigin", {value: performance.timeOrigin + ahead});
    """)
    page.reload()
    clock = page.locator("[data-elapsed-since]").first
    expect(clock).to_have_text(re.compile(r"^\d{1,2}:\d\d$"))


def test_an_id_is_copied(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, paths(filled)["event"], permissions=["clipboard-read", "clipboard-write"])
    hold_still(page)
    page.get_by_role("button", name="Copy id").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    newest = filled.new_api().get("/api/events", type="evaluation.exhausted").json["events"][0]
    assert page.evaluate("navigator.clipboard.readText()") == newest["id"]


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/nowhere", "Not Found"),
        ("/events/no-such-id", "No such event"),
        ("/events/at/999999999", "No such event"),
        ("/events/at/99999999999999999999999", "No such event"),
        ("/evaluations/no-such-evaluation", "No such evaluation"),
        ("/evaluations/compare", "Nothing to compare"),
    ],
)
def test_what_is_not_there_is_said_on_a_page(
    filled: ServerProcess, visit: Visit, path: str, heading: str
) -> None:
    page = visit(filled, path)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    expect(page.get_by_role("link", name="To the live page")).to_be_visible()
    expect(page.locator(".lost > h1 + p")).to_have_text(re.compile(r"^[A-Z].*\.$"))
    expect(page.locator("[data-nav-count=alerts]")).to_be_visible()


def test_every_page_can_be_read_without_scripts(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, java_script_enabled=False)
    for name, path in paths(filled).items():
        page.goto(path)
        assert page.locator("h1").count() == 1, name
    page.goto("/events")
    page.get_by_label("Subject").fill("running-1")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**subject=running-1")
    expect(page.locator(".rows > .row").first).to_contain_text("running-1")
    assert page.url.endswith("/events?subject=running-1")


def test_one_event_shows_payload_envelope_deliveries_and_its_chain(
    filled: ServerProcess, visit: Visit
) -> None:
    failed = filled.new_api().get("/api/events", type="evaluation.failed", subject="retrying-1")
    event = failed.json["events"][0]
    page = visit(filled, f"/events/{event['id']}")
    payload = page.get_by_role("region", name=re.compile("^Payload"))
    expect(payload).to_contain_text("429 Too Many Requests")
    expect(page.get_by_role("region", name="Envelope")).to_contain_text(event["id"])
    expect(page.get_by_role("region", name="Deliveries 1")).to_contain_text("succeeded")
    chain = page.get_by_role("region", name=re.compile("^Chain"))
    expect(chain).to_contain_text("alert.critical")
    expect(chain).to_contain_text("evaluation.retry")
    expect(chain).to_contain_text("by evaluation")
    chain.get_by_role("link", name="alert.critical").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("alert.critical")


def test_a_dead_letter_shows_every_attempt_with_its_traceback(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/retries/dead")
    letter = page.locator("#dead .letter").first
    expect(letter).to_contain_text("data.path is required")
    letter.locator("summary").click()
    expect(letter.get_by_text("Attempt 1", exact=True)).to_be_visible()
    expect(letter.locator("pre").first).to_contain_text("Traceback")
    letter.get_by_role("link", name=re.compile("Payload, chain")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("storage.file.created")


def test_an_evaluation_shows_its_attempts_result_files_and_events(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/evaluations?state=exhausted")
    page.get_by_role("link", name="exhausted-1").click()
    attempts = page.locator(".gantt > li")
    expect(attempts).to_have_count(4)
    expect(attempts.first).to_contain_text("attempt 4")
    expect(attempts.first).to_contain_text("RateLimitError: 429 Too Many Requests")
    page.goto("/evaluations/done-1")
    expect(page.get_by_role("group", name="result")).to_contain_text('"accuracy": 0.91')
    expect(page.get_by_role("region", name=re.compile("^Files"))).to_contain_text("47.1 KiB")


def test_a_list_refreshes_itself(filled: ServerProcess, visit: Visit) -> None:
    page = visit(filled, "/evaluations")
    expect(page.get_by_role("link", name="late-1")).to_have_count(0)
    filled.new_api().publish("evaluation.started", {"eval_id": "late-1"})
    expect(page.get_by_role("link", name="late-1")).to_be_visible()


def test_the_handlers_have_all_their_figures_at_every_width(
    filled: ServerProcess, visit: Visit
) -> None:
    page = visit(filled, "/handlers", viewport={"width": 1024, "height": 768})
    row = page.locator("#row-storage")
    for width in (1024, 360):
        page.set_viewport_size({"width": width, "height": 740})
        for label in ("p50", "p95", "p99", "retrying", "dead"):
            expect(row.locator(f"[data-label='{label}']")).to_be_visible()
        assert not sideways(page)


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
