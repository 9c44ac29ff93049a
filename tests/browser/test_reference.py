"""The page of the API: finding an operation, linking to it, copying how it is called."""

from __future__ import annotations

import re
import subprocess

from playwright.sync_api import expect

from tests.helpers.pages import Visit, hold_still
from tests.helpers.server import ServerProcess


def test_an_operation_is_found_by_typing_and_has_an_address(
    shared_server: ServerProcess, visit: Visit
) -> None:
    page = visit(shared_server, "/docs/api")
    page.get_by_label("Filter operations").fill("dead letters")
    entries = page.locator("[data-reference-entry]:visible")
    expect(entries).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/docs/api/groupDeadLetters$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Group dead letters")
    expect(page.locator(".reference-list a[aria-current]")).to_contain_text("deliveries/groups")
    page.get_by_label("Filter operations").fill("nothing is called so")
    expect(page.get_by_text("No operation matches.")).to_be_visible()


def test_a_shape_unfolds_to_its_members(shared_server: ServerProcess, visit: Visit) -> None:
    page = visit(shared_server, "/docs/api/listEvaluations")
    answers = page.get_by_role("region", name="Answers")
    state = answers.locator(".shape", has_text="exhausted").last
    expect(state).to_be_hidden()
    answers.locator("summary", has_text="evaluations").last.click()
    answers.locator("summary", has_text="Evaluation object").last.click()
    expect(state).to_be_visible()


def test_the_command_that_is_copied_publishes(shared_server: ServerProcess, visit: Visit) -> None:
    page = visit(
        shared_server, "/docs/api/publishEvents",
        permissions=["clipboard-read", "clipboard-write"],
    )  # fmt: skip
    hold_still(page)
    page.get_by_role("button", name="Copy curl command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    answer = subprocess.run(["sh", "-c", f"{command} -s"], capture_output=True, text=True)
    assert '"duplicate":false' in answer.stdout, (command, answer)


def test_an_operation_that_there_is_not_is_said(shared_server: ServerProcess, visit: Visit) -> None:
    page = visit(shared_server, "/docs/api/nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such operation")
