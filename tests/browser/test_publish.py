"""The publish page: checking while typing, errors beside fields, the receipt that fills in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.pages import IMPATIENT, Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser


def test_an_event_is_published_and_the_receipt_says_what_the_handlers_did(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish")
    _write(page, "evaluation.failed", '{"eval_id": "e-1", "error": {"severity": "critical"}}')
    page.get_by_role("button", name="Publish").click()
    receipt = page.get_by_role("region", name="Receipt")
    expect(receipt.get_by_role("heading")).to_have_text("Recorded as #1")
    expect(receipt).to_contain_text("handled")
    for caused in ("alert.critical", "evaluation.retry"):
        expect(receipt).to_contain_text(caused)
    expect(receipt.locator(".handled")).to_have_count(3)
    expect(receipt.locator(".handled").first).to_contain_text(
        re.compile(r"evaluation succeeded.*ms")
    )
    receipt.get_by_role("link", name="#1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("evaluation.failed")


def test_what_a_handler_refuses_is_a_dead_letter_on_the_receipt(
    start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server(**IMPATIENT)
    page = visit(server, "/publish")
    _write(page, "storage.file.created", '{"bytes": 1}')
    page.get_by_role("button", name="Publish").click()
    receipt = page.get_by_role("region", name="Receipt")
    expect(receipt).to_contain_text(re.compile(r"dead letter after \d attempt"))
    expect(receipt.locator(".receipt-state")).to_have_text("dead letter")
    expect(receipt).to_contain_text("data.path is required")
    expect(page.locator("[id^=ask-]")).to_have_count(0)  # and asks no more


def test_control_enter_sends(server: ServerProcess, visit: Visit) -> None:
    page = visit(server, "/publish")
    _write(page, "vendor.thing", "{}")
    page.get_by_label("Data, a JSON object").press("Control+Enter")
    receipt = page.get_by_role("region", name="Receipt")
    expect(receipt).to_contain_text("Recorded as #1")
    expect(receipt.locator(".receipt-state")).to_have_text("recorded, nobody handles it")


def test_the_example_that_it_began_with_is_let_go_with_another_type(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish?type=evaluation.started")
    chosen = page.locator(".starts [aria-current]")
    expect(chosen).to_have_text("evaluation.started")
    page.get_by_label("Type", exact=True).fill("vendor.thing")
    expect(chosen).to_have_count(0)
    expect(page).to_have_url(re.compile("/publish$"))
    page.get_by_label("Type", exact=True).fill("evaluation.completed")
    expect(chosen).to_have_text("evaluation.completed")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,}', 'line 1, column 8: no comma before "}"'),
        ("{'a': 1}", "line 1, column 2: a name in double quotes is missing"),
        ('{\n  "a": tru\n}', "line 2, column 8: tru is no JSON value"),
        ('{"a": "b', "line 1, column 7: this string has no closing quote"),
        ('{"a": 01}', 'line 1, column 8: not a JSON number: unexpected "1"'),
        ('{"a" 1}', 'line 1, column 6: ":" is missing after the name'),
        ('{"a": "\\x"}', "line 1, column 8: not an escape of JSON"),
        ('{"a": 1} x', 'line 1, column 10: unexpected "x" after the end'),
        ("[1, 2]", "line 1, column 1: data must be an object"),
        ("{", "line 1, column 2: a name in double quotes is missing: the text ends too early"),
    ],
)
def test_wrong_json_is_said_with_line_and_column_while_typing(
    shared_server: ServerProcess, visit: Visit, text: str, says: str
) -> None:
    page = visit(shared_server, "/publish")
    page.get_by_label("Data, a JSON object").fill(text)
    expect(page.locator("[data-json-state]")).to_contain_text(says)
    line = says.split(",")[0].removeprefix("line ")
    expect(page.locator("[data-json-lines] b")).to_have_text(line)


def test_right_json_of_every_kind_is_found_right(
    shared_server: ServerProcess, visit: Visit
) -> None:
    page = visit(shared_server, "/publish")
    text = (
        '{"s": "\\u00e9\\n\\"", "n": [-0, 1.5e-3, 1E9], "w": [true, false, null], "o": {}, "l": []}'
    )
    page.get_by_label("Data, a JSON object").fill(text)
    expect(page.locator("[data-json-state]")).to_contain_text("valid JSON")
    page.get_by_role("button", name="Format").click()
    expect(page.get_by_label("Data, a JSON object")).to_have_value(re.compile('^{\n  "s": "é'))


def test_errors_stand_beside_their_fields_and_nothing_typed_is_lost(
    shared_server: ServerProcess, visit: Visit
) -> None:
    page = visit(shared_server, "/publish")
    _write(page, "evaluation..started", '{"a": 1,}')
    page.get_by_text("Source, subject, id, later").click()
    page.get_by_label("Subject").fill("kept")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_label("Type", exact=True)).to_have_accessible_description(
        re.compile("empty segment")
    )
    expect(page.get_by_label("Data, a JSON object")).to_have_accessible_description(
        re.compile("must be JSON: .* line 1, column 9")
    )
    expect(page.get_by_label("Data, a JSON object")).to_have_value('{"a": 1,}')
    expect(page.get_by_label("Subject")).to_have_value("kept")
    expect(page.get_by_role("region", name="Receipt")).to_be_hidden()
    # Correcting a field takes its error away, sending again all of them.
    page.get_by_label("Type", exact=True).fill("evaluation.started")
    expect(page.locator("#e-type")).to_be_empty()
    page.get_by_label("Data, a JSON object").fill('{"eval_id": "kept"}')
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("Recorded as")
    expect(page.locator("[aria-invalid=true]")).to_have_count(0)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("Type", "evaluation.*", "must not contain"),
        ("Data, a JSON object", '{"a": NaN}', "must be JSON: NaN is not a JSON number"),
        ("Data, a JSON object", '{"a": "\\u0000"}', "/a: must not contain the NUL character"),
        ("Data, a JSON object", '{"a": "' + "x" * 300_000 + '"}', "must be at most 262144 bytes"),
    ],
)
def test_the_rules_of_the_envelope_are_said(
    shared_server: ServerProcess, visit: Visit, field: str, value: str, says: str
) -> None:
    page = visit(shared_server, "/publish")
    _write(page, "vendor.thing", "{}")
    page.get_by_label(field, exact=True).fill(value)
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_label(field, exact=True)).to_have_accessible_description(
        re.compile(re.escape(says))
    )


def test_the_same_id_is_recorded_once_and_the_receipt_says_so(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish")
    _write(page, "vendor.thing", "{}")
    page.get_by_text("Source, subject, id, later").click()
    page.get_by_label("Id", exact=True).fill("only-once")
    page.get_by_role("button", name="Publish").click()
    receipt = page.get_by_role("region", name="Receipt")
    expect(receipt.get_by_role("heading")).to_have_text("Recorded as #1")
    page.get_by_role("button", name="Publish").click()
    expect(receipt.get_by_role("heading")).to_have_text("Already recorded as #1")
    assert server.new_api().get("/api/stats").json["sequence"] == 1


def test_a_type_brings_its_example_unless_something_was_written(
    shared_server: ServerProcess, visit: Visit
) -> None:
    page = visit(shared_server, "/publish")
    data = page.get_by_label("Data, a JSON object")
    page.get_by_label("Type", exact=True).fill("queue.task.added")
    expect(data).to_have_value(re.compile('"task_id"'))
    data.fill('{"mine": 1}')
    page.get_by_label("Type", exact=True).fill("alert.critical")
    expect(page.get_by_role("region", name="What would happen")).to_contain_text("alert")
    expect(data).to_have_value('{"mine": 1}')


def test_types_that_were_seen_are_offered(server: ServerProcess, visit: Visit) -> None:
    server.new_api().publish("vendor.seen.before", {"like": "this"})
    page = visit(server, "/publish")
    assert page.locator("#types option[value='vendor.seen.before']").count() == 1
    page.get_by_role("link", name="vendor.seen.before").click()
    page.wait_for_url("**type=vendor.seen.before")
    expect(page.get_by_label("Data, a JSON object")).to_have_value('{\n  "like": "this"\n}')
    _write(page, "evaluation..started", "")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#e-type")).to_contain_text("empty segment")
    field = page.get_by_label("Type", exact=True)
    field.fill("")
    field.press_sequentially("seen")
    expect(page.get_by_role("option")).to_have_text(["vendor.seen.before1"])
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value("vendor.seen.before")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.get_by_label("Data, a JSON object")).to_have_value('{\n  "like": "this"\n}')


def test_the_preview_names_the_handlers_and_the_same_as_curl_and_python(
    shared_server: ServerProcess, visit: Visit
) -> None:
    page = visit(shared_server, "/publish")
    _write(page, "evaluation.started", '{"eval_id": "it\'s"}')
    preview = page.locator("#content")
    expect(preview.get_by_title("evaluation listens to evaluation.+")).to_be_visible()
    expect(preview.get_by_role("group", name="curl command")).to_contain_text(
        """-d '{"type": "evaluation.started", "data": {"eval_id": "it'"'"'s"}}'"""
    )
    expect(preview.locator("#same-python")).to_contain_text("""'eval_id': "it's",""")
    page.get_by_label("Type", exact=True).fill("nobody.listens")
    expect(preview).to_contain_text("No durable subscription matches this type")


def test_an_event_is_published_again_from_its_page(server: ServerProcess, visit: Visit) -> None:
    server.new_api().publish("vendor.thing", {"n": 7}, subject="s-1")
    page = visit(server, "/events/at/1")
    page.get_by_role("link", name="Publish again").click()
    expect(page.get_by_label("Subject")).to_have_value("s-1")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("Recorded as #2")


def test_without_scripts_the_form_works_and_keeps_what_was_typed(
    server: ServerProcess, visit: Visit
) -> None:
    page = visit(server, "/publish", java_script_enabled=False)
    _write(page, "evaluation..started", '{"eval_id": "e-1"}')
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#e-type")).to_contain_text("empty segment")
    expect(page.get_by_label("Data, a JSON object")).to_have_value('{"eval_id": "e-1"}')
    page.get_by_label("Type", exact=True).fill("evaluation.started")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/publish?receipt=1")
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("Recorded as #1")
    expect(page.get_by_label("Data, a JSON object")).to_have_value(re.compile('"eval_id": "e-1"'))


def test_indents_are_kept_by_enter(shared_server: ServerProcess, visit: Visit) -> None:
    page = visit(shared_server, "/publish")
    data = page.get_by_label("Data, a JSON object")
    data.fill("{}")
    data.press("ArrowLeft")
    data.press("Enter")
    data.type('"a": 1,')
    data.press("Enter")
    data.type('"b": 2')
    expect(data).to_have_value('{\n  "a": 1,\n  "b": 2\n}')


def _write(page: Page, type: str, data: str) -> None:
    page.get_by_label("Type", exact=True).fill(type)
    page.get_by_label("Data, a JSON object").fill(data)


def test_what_is_scheduled_is_listed_and_taken_back(server: ServerProcess, visit: Visit) -> None:
    api = server.new_api()
    for number in (2, 1):
        event = {"type": "report.due", "id": f"due-{number}", "subject": f"report-{number}",
                 "delay": 3_600 * number}  # fmt: skip
        assert api.post("/api/events", event).status == 202
    page = visit(server, "/publish")
    page.get_by_role("link", name="Scheduled").click()
    page.wait_for_url("**/events/scheduled")
    rows = page.locator(".later")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("report-1")
    expect(rows.first).to_contain_text(re.compile(r"in (59:\d\d|1:00:00)"))
    rows.first.get_by_text("Cancel…").click()
    rows.first.get_by_role("button", name="Cancel it").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("status").first).to_have_text("due-1 is cancelled")
    expect(rows.first.get_by_role("link", name="Open due-2")).to_be_focused()
    (told,) = api.get("/api/events", type="bus.schedule.cancelled").json["events"]
    assert (told["data"]["id"], told["data"]["by"]) == ("due-1", "dashboard")
    assert api.get("/api/scheduled/due-2").status == 200
    rows.first.get_by_role("link", name="Open due-2").click()
    expect(page.get_by_role("region", name="Receipt")).to_contain_text("report.due")
