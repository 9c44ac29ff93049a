"""Single sign-on against an OpenID provider on real sockets: who comes in, as what, and who not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from app.access import users
from app.access.directory import Directory
from eventbus.log import EventLog
from tests.helpers.oidc_provider import OidcProvider, signed
from tests.helpers.people import PASSWORD, Visitor, signed_in
from tests.helpers.server import ServerProcess
from tests.helpers.single_sign_on import CALLBACK, Guest, variables
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def server(
    started: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with the provider, and the admin ada, who has a password."""
    started.reset()
    with ServerProcess(tmp_path_factory.mktemp("server"), **variables(started)) as server:
        # Nobody is there yet, and nobody is let in for that.
        assert server.api.get("/api/stats").status == 401
        started.person = {"sub": "boss", "preferred_username": "boss", "groups": ["bosses"]}
        boss = Guest(server, started)
        assert boss.sign_in().status == 303
        body = f"name=ada&role=admin&password={quote(PASSWORD)}"
        assert boss.post("/access/users", body).status == 303
        yield server


def events(server: ServerProcess, type: str) -> list[dict[str, Any]]:
    """The newest events of a type first."""
    found = signed_in(server).get(f"/api/events?type={type}&limit=20").json["events"]
    return [each for each in found if each["data"].get("user") != "ada"]


def test_somebody_new_comes_in_with_the_role_of_their_group_and_is_in_the_trail(
    server: ServerProcess, provider: OidcProvider
) -> None:
    guest = Guest(server, provider)
    assert guest.get("/events?q=x").headers["location"] == "/login?next=/events%3Fq%3Dx"
    page = guest.get("/login?next=/events%3Fq%3Dx").text
    assert 'href="/login/oidc?next=/events%3Fq%3Dx"' in page and "Sign in with Example ID" in page
    answer = guest.sign_in("/events%3Fq%3Dx")
    assert (answer.status, answer.headers["location"]) == (303, "/events?q=x")
    assert answer.headers["cache-control"] == "no-store"
    assert list(guest.cookies) == [f"eventbus_session_{server.port}"]  # the attempt is over
    me = guest.get("/api/access/me").json
    assert (me["name"], me["role"], me["kind"]) == ("ana", "viewer", "user")
    added = events(server, "access.user.added")[0]["data"]
    assert added == {
        "user": "ana", "role": "viewer", "method": "oidc", "issuer": provider.issuer,
        "sub": "sub-1", "by": "Example ID", "from": "127.0.0.1",
    }  # fmt: skip
    told = events(server, "access.login.succeeded")[0]["data"]
    assert told == {
        "user": "ana", "method": "oidc", "provider": "Example ID", "from": "127.0.0.1",
    }  # fmt: skip
    people = signed_in(server).get("/access").text
    assert 'signs in with">Example ID' in people and 'aria-label="Role of ana"' not in people
    question = signed_in(server).get("/access/confirm?do=remove&user=ana").text
    assert "when they next sign in with Example ID" in question
    assert "Nobody has to sign in" not in question
    shown = {u["name"]: u for u in signed_in(server).get("/api/access/users").json["users"]}
    assert (shown["ana"]["login"], shown["ada"]["login"]) == ("oidc", "password")
    assert "no password here" in guest.get("/account").text


def test_signing_out_ends_the_session_here(server: ServerProcess, provider: OidcProvider) -> None:
    guest = Guest(server, provider)
    guest.sign_in()
    kept = dict(guest.cookies)
    answer = guest.post("/logout")
    assert (answer.status, answer.headers["location"], guest.cookies) == (303, "/login", {})
    guest.cookies = kept
    assert guest.get("/").status == 303
    assert provider.asked.get("/end_session") is None


def test_signing_out_goes_on_to_the_provider_where_that_is_wanted(
    provider: OidcProvider, start_server: Callable[..., ServerProcess]
) -> None:
    page = "/login/oidc/signed-out"
    provider.metadata["end_session_endpoint"] = f"{provider.issuer}/end?realm=a"
    server = start_server(**variables(provider, EVENTBUS_OIDC_SIGN_OUT="yes"))
    guest = Guest(server, provider)
    guest.sign_in()
    assert guest.get(page).headers["location"] == "/login"  # not while they are signed in
    answer = guest.post("/logout")
    assert (answer.headers["location"], guest.cookies) == (page, {})
    there = guest.get(page)
    back = quote(f"{server.url}/login", safe="")
    url = f"{provider.issuer}/end?realm=a&client_id=event+bus&post_logout_redirect_uri={back}"
    assert there.headers["refresh"] == f"0; url={url}"
    assert url.replace("&", "&amp;") in there.text and "Example ID" in there.text


def test_a_provider_without_a_place_to_sign_out_holds_nobody_up(
    provider: OidcProvider, start_server: Callable[..., ServerProcess]
) -> None:
    server = start_server(**variables(provider, EVENTBUS_OIDC_SIGN_OUT="yes"))
    assert Guest(server, provider).get("/login/oidc/signed-out").headers["location"] == "/login"


def test_the_role_follows_the_provider_and_a_lost_one_ends_every_session(
    server: ServerProcess, provider: OidcProvider
) -> None:
    provider.person = {"sub": "sub-2", "preferred_username": "ben", "groups": "staff"}
    first = Guest(server, provider)
    first.sign_in()
    provider.person["groups"] = ["staff", "CN=ops,OU=groups", "unheard of", 7]
    second = Guest(server, provider)
    second.sign_in()
    assert first.get("/api/access/me").json["role"] == "operator"
    changed = events(server, "access.user.role.changed")[0]["data"]
    assert (changed["was"], changed["role"], changed["by"]) == ("viewer", "operator", "Example ID")
    refusal = signed_in(server).post("/api/access/users/ben/role", {"role": "admin"})
    assert refusal.status == 409 and "Example ID" in refusal.json["detail"]
    provider.person["groups"] = []
    answer = Guest(server, provider).sign_in()
    assert answer.status == 403 and "gives you no role here" in answer.text
    assert first.get("/").status == second.get("/").status == 303
    failed = events(server, "access.login.failed")[0]["data"]
    assert (failed["user"], failed["method"]) == ("ben", "oidc") and "no role" in failed["reason"]


def test_a_name_that_somebody_else_has_is_not_taken_over(
    server: ServerProcess, provider: OidcProvider
) -> None:
    for subject, name in (("thief", "Ada"), ("other-thief", "boss")):
        provider.person = {"sub": subject, "preferred_username": name, "groups": ["bosses"]}
        answer = Guest(server, provider).sign_in()
        assert answer.status == 409 and "already" in answer.text


def test_who_is_disabled_stays_out_and_has_no_password_here(
    server: ServerProcess, provider: OidcProvider
) -> None:
    provider.person["sub"], provider.person["preferred_username"] = "sub-3", "cleo"
    guest = Guest(server, provider)
    guest.sign_in()
    admin = signed_in(server)
    assert admin.post("/api/access/users/cleo/password", {"password": PASSWORD}).status == 409
    assert guest.post("/account/password", "current=a&new=b&again=b").status == 409
    for tried in ("", "nobody has this one"):  # the hash of nobody's password is no password
        assert Visitor(server).sign_in("cleo", tried).status == 401
    admin.post("/api/access/users/cleo/disable", {})
    assert guest.get("/").status == 303
    answer = Guest(server, provider).sign_in()
    assert answer.status == 403 and "may not sign in any more" in answer.text


def test_what_the_id_token_leaves_out_is_asked_for(
    server: ServerProcess, provider: OidcProvider
) -> None:
    provider.is_thin = True
    provider.person = {"sub": "thin", "preferred_username": "thea", "groups": ["bosses"]}
    guest = Guest(server, provider)
    assert guest.sign_in().status == 303
    assert guest.get("/api/access/me").json["role"] == "admin"


def test_a_new_key_is_fetched_when_it_is_used(
    server: ServerProcess, provider: OidcProvider
) -> None:
    assert Guest(server, provider).sign_in().status == 303
    before = provider.asked["/jwks"]
    provider.rotate("key-2")  # an ES256 one
    assert Guest(server, provider).sign_in().status == 303
    assert provider.asked["/jwks"] == before + 1
    # Made-up keys do not have it asked again and again.
    provider.token = lambda h, c: signed({**h, "kid": "x"}, c, provider.key)
    for _ in range(3):
        assert Guest(server, provider).sign_in().status == 401
    assert provider.asked["/jwks"] == before + 1


def test_behind_a_proxy_all_addresses_are_the_public_ones_and_cookies_for_tls(
    started: OidcProvider, start_server: Callable[..., ServerProcess]
) -> None:
    started.reset()
    server = start_server(**variables(
        started, EVENTBUS_TRUSTED_PROXIES="127.0.0.1", EVENTBUS_PUBLIC_URL="https://bus.example.org/",
        EVENTBUS_ALLOWED_HOSTS="bus.example.org,127.0.0.1",
    ))  # fmt: skip
    guest = Guest(server, started)
    proxied = {
        "X_Forwarded_Proto": "https",
        "Host": "bus.example.org",
        "X_Forwarded_For": "1.2.3.4",
    }
    answer = guest.get("/login/oidc", **proxied)
    back = urlsplit(started.authorize(answer.headers["location"]))
    assert (back.scheme, back.netloc, back.path) == ("https", "bus.example.org", CALLBACK)
    assert answer.headers["set-cookie"].startswith("__Host-eventbus_login_")
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"):
        assert attribute in answer.headers["set-cookie"]
    answer = guest.get(f"{back.path}?{back.query}", **proxied)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert list(guest.cookies) == ["__Host-eventbus_session"]


def test_a_provider_that_is_down_leaves_passwords_working(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with OidcProvider() as provider:
        directory = tmp_path_factory.mktemp("server")
        with closing(EventLog(f"sqlite:///{directory}/events.db")) as log:
            users.add(Directory(log), "ada", "admin", PASSWORD, "tests")
        provider.go_down()
        with ServerProcess(directory, **variables(provider)) as server:
            guest = Guest(server, provider)
            answer = guest.get("/login/oidc?next=/events")
            assert answer.status == 503 and "Example ID does not answer" in answer.text
            assert 'value="/events"' in answer.text and "Password" in answer.text
            assert signed_in(server).get("/").status == 200
            provider.come_back()
            wait_until(lambda: guest.get("/login/oidc").status == 303, "it is asked again")
            assert guest.sign_in().status == 303
            # Gone while somebody is there: what is remembered of it is no answer.
            back = guest.begin() if guest.post("/logout") else ""
            provider.go_down()
            assert guest.get(back).status == 503
            provider.come_back()  # for the end of the block


def test_passwords_can_be_switched_off_and_a_default_role_lets_everybody_in(
    started: OidcProvider, start_server: Callable[..., ServerProcess]
) -> None:
    started.reset()
    server = start_server(**variables(
        started, EVENTBUS_OIDC_DEFAULT_ROLE="operator", EVENTBUS_OIDC_ROLES="",
        EVENTBUS_PASSWORD_LOGIN="no",
    ))  # fmt: skip
    visitor = Visitor(server)
    assert 'type="password"' not in visitor.get("/login").text
    answer = visitor.sign_in("ada")
    assert answer.status == 403 and "EVENTBUS_PASSWORD_LOGIN" in answer.text
    guest = Guest(server, started)
    guest.sign_in()
    assert guest.get("/api/access/me").json["role"] == "operator"
