"""Signing in and out, users and tokens, and what a role does not see, as people do it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.helpers.pages import Visit, check
from tests.helpers.people import PASSWORD, Visitor, add_first, add_user, signed_in
from tests.helpers.server import ServerProcess


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_signing_in_leads_to_what_was_wanted_and_signing_out_ends_it(
    server: ServerProcess, visit: Visit
) -> None:
    add_first(server)
    page = visit(server, "/alerts?state=open")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)
    sign_in(page, "ada", "not the password")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    check(page)
    sign_in(page, "ada")
    expect(page).to_have_url(f"{server.url}/alerts?state=open")
    page.get_by_label("Signed in as ada").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/events")
    expect(page).to_have_url(f"{server.url}/login?next=/events")


def test_an_admin_makes_a_token_and_revokes_it(server: ServerProcess, visit: Visit) -> None:
    add_first(server)
    page = visit(server, "/access")
    sign_in(page, "ada")
    page.get_by_label("What it is for").fill("nightly runs")
    page.get_by_label("read", exact=True).check()
    page.get_by_role("button", name="Make token").click()
    token = page.get_by_role("group", name="token").text_content() or ""
    assert Visitor(server, token.strip()).get("/api/stats").status == 200
    check(page)
    page.goto("/access")
    expect(page.get_by_text(token.strip())).to_have_count(0)
    page.get_by_role("link", name="Revoke… nightly runs").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("opens nothing any more")
    assert Visitor(server, token.strip()).get("/api/stats").status == 401


def test_an_admin_adds_and_removes_a_user_on_a_phone(server: ServerProcess, visit: Visit) -> None:
    add_first(server)
    page = visit(server, "/access", viewport={"width": 360, "height": 780}, color_scheme="dark")
    check(page)
    sign_in(page, "ada")
    page.get_by_label("Name", exact=True).fill("vic")
    page.get_by_label("First password").fill("short")
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_text("must have 10 to 256 characters")).to_be_visible()
    page.get_by_label("First password").fill(PASSWORD)
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_role("status")).to_have_text("vic can sign in now.")
    page.wait_for_load_state()  # with the script that asks in a dialog
    check(page)
    page.get_by_label("More about vic").click()
    page.get_by_role("link", name="Remove…").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_have_text("vic was removed.")
    page.goto("/account")
    check(page)


def test_a_viewer_is_shown_nothing_that_changes_anything(
    server: ServerProcess, visit: Visit
) -> None:
    server.api.publish("alert.warning", {"service": "runner", "error": "slow"})
    add_first(server)
    add_user(server, signed_in(server), "vic", "viewer")
    page = visit(server, "/alerts")
    sign_in(page, "vic")
    expect(page.get_by_text("runner").first).to_be_visible()
    for name in ("Acknowledge", "Resolve", "Make token"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    expect(page.get_by_text("Mute…")).to_be_hidden()
    expect(page.get_by_role("link", name="Publish")).to_have_count(0)


def test_a_live_page_goes_to_the_login_when_its_user_may_not_see_it_any_more(
    server: ServerProcess, visit: Visit
) -> None:
    add_first(server)
    admin = signed_in(server)
    add_user(server, admin, "vic", "viewer")
    page = visit(server, "/")
    sign_in(page, "vic")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    signed_in(server).post("/api/access/users/vic/disable", {})
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=30_000)
