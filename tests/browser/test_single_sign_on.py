"""Signing in by an OpenID provider that somebody else wrote, as people do it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from oidc_provider_mock import User, run_server_in_thread
from playwright.sync_api import expect

from tests.helpers.pages import Visit, check
from tests.helpers.people import PASSWORD
from tests.helpers.server import ServerProcess


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that asks who one is; it knows ana, and answers for her as Authlib does."""
    ana = User(sub="ana-1", claims={"preferred_username": "ana.lima", "groups": ["bosses"]})
    stranger = User(sub="stranger", claims={"preferred_username": "stranger"})
    with run_server_in_thread(user_claims=[ana, stranger], require_nonce=True) as provider:
        yield f"http://localhost:{provider.server_port}"


def client_of(issuer: str) -> dict[str, str]:
    """The settings of a server whose people sign in there."""
    return {
        "EVENTBUS_OIDC_ISSUER": issuer, "EVENTBUS_OIDC_CLIENT_ID": "bus",
        "EVENTBUS_OIDC_CLIENT_SECRET": "secret", "EVENTBUS_OIDC_NAME": "Example ID",
        "EVENTBUS_OIDC_ROLES": "bosses=admin",
    }  # fmt: skip


def test_signing_in_by_a_provider_and_out_again(
    issuer: str, start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server(**client_of(issuer))
    page = visit(server, "/alerts?state=open", viewport={"width": 360, "height": 780})
    page.route("https://**", lambda route: route.abort())  # the provider's pages want a style sheet
    expect(page.get_by_label("Password")).to_have_count(0)  # nobody has one yet
    check(page)
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Sign in with Example ID").press("Enter")
    page.get_by_role("button", name="ana-1").click()
    expect(page).to_have_url(f"{server.url}/alerts?state=open")
    page.goto("/access")
    check(page)
    row = page.get_by_role("row").filter(has_text="ana.lima")
    expect(row).to_contain_text("Example ID")
    form = page.get_by_role("form", name="Add a user")
    form.get_by_label("Name").fill("ada")
    form.get_by_label("First password").fill(PASSWORD)
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_role("status")).to_have_text("ada can sign in now.")
    page.goto("/account")
    expect(page.get_by_text("you have no password here")).to_be_visible()
    check(page)
    page.get_by_label("Signed in as ana.lima").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()  # ada has one
    page.get_by_role("link", name="Sign in with Example ID").click()
    page.get_by_role("button", name="stranger").first.click()
    expect(page.get_by_role("alert")).to_contain_text("gives you no role here")
    check(page)


def test_signing_out_here_and_at_the_provider(
    issuer: str, start_server: Callable[..., ServerProcess], visit: Visit
) -> None:
    server = start_server(**client_of(issuer), EVENTBUS_OIDC_SIGN_OUT="yes")
    page = visit(server, "/account")
    page.route("https://**", lambda route: route.abort())  # the provider's pages want a style sheet
    page.get_by_role("link", name="Sign in with Example ID").click()
    page.get_by_role("button", name="ana-1").click()
    page.get_by_label("Signed in as ana.lima").click()
    # The provider has nothing to show at first, so the page that leads there stays.
    page.route(re.compile("/end_session"), lambda route: route.fulfill(status=204))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    check(page)
    page.unroute(re.compile("/end_session"))
    page.reload(wait_until="commit")  # it leads away, maybe before it is loaded
    expect(page).to_have_url(re.compile(re.escape(f"{issuer}/oauth2/end_session?client_id=bus&")))
    page.locator("form button").first.click()
    expect(page).to_have_url(f"{server.url}/login")
