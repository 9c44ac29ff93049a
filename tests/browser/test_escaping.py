"""Whatever an event holds is shown as text: on every page, live, and in attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.crawl import Crawl, page_kinds
from tests.helpers.pages import IMPATIENT, Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

ATTACKS = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '" autofocus onfocus="document.title=\'owned\'" x="',
    "' hx-get='/publish' hx-trigger='load' hx-target='body",
    "</textarea></code></pre><h1>owned</h1>",
    "<hx-partial hx-target='#counters'><b>owned</b></hx-partial>",
    "<template hx type=partial hx-target='#counters'><b>owned</b></template>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='owned'",
)
ATTACK = " ".join(ATTACKS)


def _hostile_events() -> list[dict[str, Any]]:
    error = {"type": ATTACK, "message": ATTACK, "traceback": ATTACK, "severity": "critical"}
    common = {"source": ATTACK[:900], "subject": ATTACK[:900]}
    return [
        {"type": "evaluation.started", "id": "started " + ATTACK[:800],
         "data": {"eval_id": ATTACK[:500], "task": ATTACK[:200], "model": ATTACK[:200], "total": 9},
         **common},
        {"type": "evaluation.failed", "data": {"eval_id": ATTACK[:500], "error": error}, **common},
        {"type": "evaluation.started", "data": {"eval_id": "done", "task": ATTACK[:200]}},
        {"type": "evaluation.completed", "data": {"eval_id": "done", "result": {ATTACK: [ATTACK]}}},
        {"type": "storage.file.created",
         "data": {"path": ATTACK[:700], "bytes": 1, "eval_id": "done", "kind": ATTACK[:90]}},
        {"type": "queue.task.added", "data": {"queue": ATTACK[:200], "task_id": ATTACK[:200]}},
        {"type": "monitoring.metric.recorded",
         "data": {"metric": ATTACK[:200], "value": 1, "unit": ATTACK[:50]}},
        {"type": "alert.critical", "data": {"service": ATTACK[:200], "error": error,
                                            "eval_id": ATTACK[:500]}},
        {"type": "alert.critical", "data": {"service": "text", "error": ATTACK}},
        {"type": "storage.file.created", "data": {"path": {ATTACK: ATTACK}}, **common},
        {"type": "vendor.thing", "data": {ATTACK: ATTACK, "list": [ATTACK], "o": {ATTACK: 1}}},
    ]  # fmt: skip


@pytest.fixture
def hostile(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """A server whose every event attacks."""
    server = start_server(**IMPATIENT)
    for event in _hostile_events():
        answer = server.new_api().post("/api/events", event, wait="attempted")
        assert answer.status == 202, answer.text
    return server


# Shown to people who are signed in, or made by a script's request for a part of another page.
_NOT_LINKED = {
    "attention.now", "views_page.menu", "publish_page.example", "publish_page.receipt",
    "publish_page.waiting", "event_page.payload", "event_page.progress", "event_page.raw",
    "event_page.take", "event_page.test", "events_news.news",
    "evaluation_page.evaluation_by_id",
    "handlers_page.handler_by_name", "transfers_page.progress", "live.rows",
    "health.healthz", "health.readyz", "metrics.metrics", "people.confirm",
    "oidc.begin", "oidc.finish", "oidc.signed_out",
}  # fmt: skip


def test_hostile_text_is_text_on_every_page(hostile: ServerProcess, visit: Visit) -> None:
    api = hostile.new_api()
    alert = api.get("/api/alerts").json["alerts"][0]
    api.post(f"/api/alerts/{alert['id']}/acknowledge", {"by": ATTACK[:90]})
    redrive = {"filter": {"type": "storage.*"}, "by": ATTACK[:90], "reason": ATTACK[:90]}
    assert api.post("/api/deliveries/redrive", redrive).status == 202
    crawl = Crawl(visit(hostile), [
        "/", "/events", "/evaluations", "/evaluations/compare?id=done&id=done", "/retries",
        "/retries/dead", "/retries/closed", "/retries/operations", "/retries/now",
        "/retries/confirm?do=discard&all=yes", "/retries/evaluations/confirm?do=retry&all=yes",
        f"/retries?error_class={_quoted(ATTACK[:160])}", "/alerts", "/alerts/channels", "/flow",
        "/handlers", "/publish", "/events/export", "/events/import", "/events/at/1/payload",
        "/attention", "/events/at/1/progress", "/events/at/1/test", "/views", "/publish/receipt/1",
        "/retries/operations/1",
        f"/evaluations/by-id?eval_id={_quoted(ATTACK[:500])}", f"/alerts/{alert['id']}",
        f"/retries/attempts?eval_id={_quoted(ATTACK[:500])}", "/login", "/account",
    ])  # fmt: skip
    page = crawl.page
    for path in crawl:
        _assert_unharmed(page, path)
    assert page_kinds() - crawl.seen - _NOT_LINKED == set()
    last = hostile.new_api().get("/api/stats").json["sequence"]
    _assert_served_unharmed(page, [
        path
        for number in range(1, last + 1)
        for path in (f"/events/at/{number}", f"/publish?like={number}")
    ])  # fmt: skip


def test_hostile_text_in_a_link_is_text_in_the_form(hostile: ServerProcess, visit: Visit) -> None:
    page = visit(hostile)
    places = [
        *(f"/events?{name}=" for name in
          ("type", "q", "subject", "correlation", "since", "until", "order", "cursor")),
        "/?type=", "/publish?type=", "/evaluations?eval_id=", "/evaluations?state=",
        "/evaluations?q=", "/evaluations?task=", "/evaluations?sort=", "/evaluations/compare?id=",
        "/evaluations/done?attempt=", "/alerts?state=", "/nowhere/",
    ]  # fmt: skip
    for place in places:  # with all of it at once, and what the page's scripts make of it
        page.goto(place + _quoted(ATTACK[:900]))
        _assert_unharmed(page, place)
    _assert_served_unharmed(
        page, [place + _quoted(attack) for place in places for attack in ATTACKS]
    )


def test_the_page_of_a_hostile_evaluation_is_reached_from_the_list(
    hostile: ServerProcess, visit: Visit
) -> None:
    page = visit(hostile, "/evaluations")
    page.locator(".row-main", has_text="<script>").click()
    expect(page.locator("h1")).to_have_text(ATTACK[:500])
    _assert_unharmed(page, "evaluation")


def test_hostile_text_that_comes_live_is_text(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    page.locator("#connection[data-state=live]").wait_for()
    for event in _hostile_events():
        server.new_api().post("/api/events", event, wait="attempted")
    expect(page.locator("#stream-rows")).to_contain_text(ATTACKS[0])
    expect(page.locator("#alerts .alarm").first).to_contain_text(ATTACKS[0])
    _assert_unharmed(page, "live")


def test_hostile_text_in_the_publish_form_is_text_in_errors_preview_and_receipt(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish")
    page.get_by_label("Type", exact=True).fill(ATTACK[:200])
    page.get_by_label("Data, a JSON object").fill('{"a": "</script>' + ATTACKS[1].replace('"', "'"))
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#e-type")).to_contain_text("<script>")
    _assert_unharmed(page, "errors")
    page.get_by_label("Type", exact=True).fill("vendor.thing")
    page.get_by_label("Data, a JSON object").fill('{"a": "' + ATTACKS[0] + '"}')
    page.get_by_text("Source, subject, id").click()
    page.get_by_label("Subject").fill(ATTACKS[1])
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text(ATTACKS[1])
    expect(page.locator("#same-python")).to_contain_text(ATTACKS[0])
    _assert_unharmed(page, "receipt")


# What only an event's or a link's text can have brought into a document.
_MADE = """(document) => [
    ...document.querySelectorAll(
        "script:not([src]), img, [onerror], [onfocus], [autofocus], a[href^=javascript]"
    ),
    ...[...document.querySelectorAll("b, h1")].filter((each) => each.textContent === "owned"),
    ...document.querySelectorAll("[hx-get='/publish']"),
].map((each) => each.outerHTML)"""


def _assert_unharmed(page: Page, where: str) -> None:
    """Nothing ran, nothing was added: no element and no attribute came from an event."""
    assert page.evaluate(f"() => ({_MADE})(document)") == [], where
    assert page.title() != "owned", where
    assert (
        page.locator("#counters").count() == 0
        or "owned" not in page.locator("#counters").inner_text()
    ), where


def _assert_served_unharmed(page: Page, paths: list[str]) -> None:
    """The same of pages as the server sends them, which takes less time than showing each."""
    made = page.evaluate(
        f"""async (paths) => {{
            const made = {{}};
            for (const path of paths) {{
                const answer = await fetch(path, {{ headers: {{ accept: "text/html" }} }});
                const type = answer.headers.get("content-type") ?? "";
                const text = await answer.text();
                const shown = new DOMParser().parseFromString(text, "text/html");
                const found = ({_MADE})(shown);
                if (!type.startsWith("text/html") || !shown.querySelector("h1")) {{
                    found.push(`no page: ${{answer.status}} ${{type}}`);
                }}
                if (found.length) made[path] = found;
            }}
            return made;
        }}""",
        paths,
    )
    assert made == {}


def _quoted(text: str) -> str:
    return quote(text, safe="")
