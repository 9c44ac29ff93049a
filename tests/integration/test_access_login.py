"""Signing in and out over real sockets: sessions, throttling, cookies, other sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.helpers.people import PASSWORD, Visitor, add_first, add_user, signed_in
from tests.helpers.raw_websocket import handshake
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def guarded(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """A server with the admin ada."""
    add_first(shared_server)
    yield shared_server


def test_without_users_and_tokens_everybody_is_let_in(server: ServerProcess) -> None:
    assert server.api.get("/api/stats").status == 200
    assert server.api.get("/api/access/me").json["kind"] == "everybody"
    assert Visitor(server).get("/login").status == 303


def test_the_first_user_closes_the_door_at_once(server: ServerProcess) -> None:
    stream = server.websocket("/api/stream")
    add_first(server)
    assert server.api.get("/api/stats").status == 401
    wait_until(lambda: _has_ended(stream), "the socket that everybody had is closed")


def test_the_first_user_must_be_an_admin(server: ServerProcess) -> None:
    answer = server.api.post(
        "/api/access/users", {"name": "vic", "role": "viewer", "password": PASSWORD}
    )
    assert answer.status == 409
    assert server.api.get("/api/stats").status == 200


def test_a_page_leads_to_the_login_and_the_login_back_to_the_page(guarded: ServerProcess) -> None:
    visitor = Visitor(guarded)
    answer = visitor.get("/events?type=a.*&q=x")
    assert answer.status == 303
    assert answer.headers["location"] == "/login?next=/events%3Ftype%3Da.%2A%26q%3Dx"
    assert 'value="/events?type=a.*&amp;q=x"' in visitor.get(answer.headers["location"]).text
    answer = visitor.sign_in("Ada", next="/events?type=a.*&q=x")
    assert (answer.status, answer.headers["location"]) == (303, "/events?type=a.*&q=x")
    assert "Signed in as ada" in visitor.get("/events").text


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "x"]
)
def test_the_login_leads_to_no_other_site(guarded: ServerProcess, next: str) -> None:
    assert Visitor(guarded).sign_in("ada", next=next).headers["location"] == "/"


def test_programs_are_told_what_is_missing(guarded: ServerProcess) -> None:
    answer = guarded.new_api().get("/api/events")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="eventbus"'
    assert answer.headers["content-type"] == "application/problem+json"
    refusal, connection = handshake(guarded.port, "/api/stream")
    connection.close()
    assert refusal.status == 401


def test_a_part_of_a_page_takes_the_whole_page_to_the_login(guarded: ServerProcess) -> None:
    answer = Visitor(guarded).get(
        "/alerts", HX_Request="true", HX_Current_URL=f"{guarded.url}/alerts?state=open"
    )
    assert answer.status == 401
    assert answer.headers["hx-redirect"] == "/login?next=/alerts%3Fstate%3Dopen"


def test_health_and_static_files_ask_nobody(guarded: ServerProcess) -> None:
    api = guarded.new_api()
    assert api.get("/healthz").status == 200
    assert api.get("/static/css/tokens.css").status == 200


def test_a_session_given_before_the_login_is_not_the_one_after_it(guarded: ServerProcess) -> None:
    attacker = signed_in(guarded)
    victim = Visitor(guarded)
    victim.cookie = planted = attacker.cookie
    assert victim.sign_in("ada").status == 303
    assert victim.cookie != planted
    attacker.cookie = planted
    assert attacker.get("/").status == 303  # and the planted one is void


def test_signing_out_ends_the_session_on_the_server(guarded: ServerProcess) -> None:
    visitor = signed_in(guarded)
    kept = visitor.cookie
    answer = visitor.submit("/logout")
    assert (answer.status, visitor.cookie) == (303, None)
    visitor.cookie = kept
    assert visitor.get("/").status == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(guarded: ServerProcess) -> None:
    visitor = Visitor(guarded)
    answer = visitor.sign_in("ada")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"eventbus_session_{guarded.port}=")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie and "Domain" not in cookie


def test_behind_a_trusted_proxy_the_cookie_is_for_tls_and_the_trail_has_the_client(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_TRUSTED_PROXIES="127.0.0.1")
    add_first(server)
    visitor = Visitor(server)
    answer = visitor.request(
        "POST", "/login", f"name=ada&password={PASSWORD.replace(' ', '+')}",
        Content_Type="application/x-www-form-urlencoded", X_Forwarded_Proto="https",
        X_Forwarded_For="6.6.6.6, 203.0.113.9",
    )  # fmt: skip
    assert answer.headers["set-cookie"].startswith("__Host-eventbus_session")
    assert "Secure" in answer.headers["set-cookie"]
    assert visitor.get("/", X_Forwarded_Proto="https").status == 200
    assert visitor.get("/").status == 303  # the cookie of TLS is none without
    found = visitor.get("/api/events?type=access.login.*", X_Forwarded_Proto="https").json
    assert found["events"][0]["data"]["from"] == "203.0.113.9"


def test_a_form_needs_an_origin_when_it_comes_with_a_session(guarded: ServerProcess) -> None:
    visitor = signed_in(guarded)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert visitor.request("POST", "/logout", "", Origin="", **form).status == 403
    other = visitor.request("POST", "/logout", "", Origin="http://evil.example", **form)
    assert other.status == 403
    fetched = {"Origin": "", "Sec_Fetch_Site": "cross-site"}
    assert visitor.request("POST", "/logout", "", **fetched, **form).status == 403
    assert visitor.get("/").status == 200


def test_a_websocket_with_a_session_needs_an_origin_of_ours(guarded: ServerProcess) -> None:
    visitor = signed_in(guarded)
    assert visitor.cookie is not None
    for origin, status in ((guarded.url, 101), ("http://evil.example", 403), ("", 403)):
        headers = {"Cookie": visitor.cookie, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        answer, connection = handshake(guarded.port, "/api/stream", headers)
        connection.close()
        assert answer.status == status, origin


def test_a_wrong_password_and_an_unknown_name_are_answered_the_same(
    guarded: ServerProcess,
) -> None:
    wrong = Visitor(guarded).sign_in("ada", "not the password")
    unknown = Visitor(guarded).sign_in("nobody-here", "not the password")
    assert wrong.status == unknown.status == 401
    assert wrong.text.replace('value="ada"', "") == unknown.text.replace('value="nobody-here"', "")


def test_an_unknown_name_takes_as_long_as_a_wrong_password(server: ServerProcess) -> None:
    add_first(server)
    # The processor's time, which does not depend on what else the machine does.
    took_s = {"ada": 0.0, "nobody": 0.0}
    for _ in range(4):
        for name in took_s:
            before = server.cpu_s()
            assert Visitor(server).sign_in(name, "not the password").status == 401
            took_s[name] += server.cpu_s() - before
    assert 0.5 < took_s["nobody"] / took_s["ada"] < 2.0, took_s


def test_failed_logins_wait_longer_and_longer(server: ServerProcess) -> None:
    add_first(server)
    visitor = Visitor(server)
    answers = [visitor.sign_in("ada", "not the password") for _ in range(5)]
    # On a slow machine checking a password takes longer than the first waits.
    while answers[-1].status == 401 and len(answers) < 12:
        answers.append(visitor.sign_in("ada", "not the password"))
    assert [answer.status for answer in answers] == [401] * (len(answers) - 1) + [429]
    assert len(answers) > 5
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert "Too many attempts failed" in answers[-1].text

    def refused_for_a_while() -> bool:
        answer = visitor.sign_in("ada", "not the password")
        return answer.status == 429 and int(answer.headers["retry-after"]) >= 3

    wait_until(refused_for_a_while, "it has failed more often", 30.0)
    assert visitor.sign_in("ada").status == 429  # also the right one: it is not even looked at
    wait_until(lambda: visitor.sign_in("ada").status == 303, "the wait is over", 60.0)


def test_who_signs_in_and_who_fails_is_in_the_log_without_secrets(server: ServerProcess) -> None:
    add_first(server)
    Visitor(server).sign_in("ada", "tip of the tongue")
    Visitor(server).sign_in("hunter2 typed in the wrong field", "x")
    visitor = signed_in(server)
    found = visitor.get("/api/events?type=access.*&order=asc").json["events"]
    told = [(event["type"], event["data"]) for event in found]
    assert told == [
        ("access.user.added", {"user": "ada", "role": "admin", "by": "somebody"}),
        ("access.login.failed", {"user": "ada", "from": "127.0.0.1"}),
        ("access.login.failed", {"from": "127.0.0.1"}),
        ("access.login.succeeded", {"user": "ada", "from": "127.0.0.1"}),
    ]
    assert "hunter2" not in visitor.get("/api/events").text
    assert "tongue" not in server.output() and PASSWORD not in server.output()


def test_a_session_survives_a_restart_of_the_server(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_SESSION_MAX_S="60")
    add_first(server)
    visitor = signed_in(server)
    server.kill9()
    server.start()
    again = Visitor(server)
    again.cookie = visitor.cookie
    assert again.get("/").status == 200
    assert "Max-Age=60" in Visitor(server).sign_in("ada").headers["set-cookie"]


def test_another_password_signs_out_everywhere_else(guarded: ServerProcess) -> None:
    add_user(guarded, signed_in(guarded), "pat", "viewer")
    here, there = signed_in(guarded, "pat"), signed_in(guarded, "pat")
    wrong = here.submit("/account/password", current="no", new="b" * 4 + "cdefgh", again="x")
    assert wrong.status == 400 and "is not the same" in wrong.text
    new = "an even longer secret"
    wrong = here.submit("/account/password", current="nope nope", new=new, again=new)
    assert wrong.status == 401 and "is not your password" in wrong.text
    assert here.submit("/account/password", current=PASSWORD, new=new, again=new).status == 303
    assert here.get("/account").status == 200
    assert there.get("/account").status == 303
    assert signed_in(guarded, "pat", new).get("/").status == 200


def test_one_signs_out_everywhere_else(guarded: ServerProcess) -> None:
    here, there = signed_in(guarded), signed_in(guarded)
    assert here.submit("/account/sessions").status == 303
    assert here.get("/").status == 200
    assert there.get("/").status == 303


def _has_ended(stream: object) -> bool:
    stream.receive(0)  # type: ignore[attr-defined]
    return not stream.connected  # type: ignore[attr-defined]
