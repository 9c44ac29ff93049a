"""Every endpoint against every role, over real sockets: the table is what is enforced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from werkzeug.routing import Rule

from app import create_app
from app.access.needs import NEEDS, need_of
from app.access.scopes import SCOPES_OF, Need, Role, role_for
from app.config import Settings
from tests.helpers.people import Visitor, add_first, add_user, make_token, signed_in
from tests.helpers.raw_websocket import handshake
from tests.helpers.server import ServerProcess

RULES: list[Rule] = list(create_app(Settings()).url_map.iter_rules())
# Asking these would end the session of the one who asks.
ENDS_IT = ("login.sign_out", "account.end_sessions", "account.change_password")


def test_every_endpoint_says_what_it_asks_for() -> None:
    endpoints = {rule.endpoint for rule in RULES}
    assert endpoints - NEEDS.keys() == set(), "add them to app/access/needs.py"
    assert NEEDS.keys() - endpoints == set(), "these are gone"
    assert set(NEEDS.values()) <= set(get_args(Need))


def test_what_is_open_to_everybody_is_little() -> None:
    opened = {endpoint for endpoint, need in NEEDS.items() if need == "open"}
    assert opened <= {
        "static", "login.form", "login.sign_in", "health.healthz", "health.readyz",
        "hooks.take", "oidc.begin", "oidc.finish", "oidc.signed_out",
    }  # fmt: skip


@pytest.fixture(scope="module")
def people(shared_server: ServerProcess) -> Iterator[dict[Role, Visitor]]:
    """One signed in of each role."""
    add_first(shared_server)
    admin = signed_in(shared_server)
    found: dict[Role, Visitor] = {"admin": admin}
    for role in ("viewer", "operator"):
        add_user(shared_server, admin, role, role)
        found[role] = signed_in(shared_server, role)  # type: ignore[index]
    yield found


def path_of(rule: Rule) -> str:
    path = re.sub(r"<int:[^>]+>", "999999", rule.rule)
    return re.sub(r"<(path:)?[^>]+>", "nothing", path)


def methods_of(rule: Rule) -> list[str]:
    return sorted((rule.methods or {"GET"}) - {"HEAD", "OPTIONS"})


def status(server: ServerProcess, visitor: Visitor, rule: Rule, method: str) -> int:
    if rule.websocket or rule.endpoint in ("live.page", "live.stream", "consume.consume"):
        answer, connection = handshake(
            server.port, path_of(rule), visitor.headers({"Origin": server.url})
        )
        connection.close()
        return answer.status
    body = None if method in ("GET", "DELETE") else "{}"
    return visitor.request(method, path_of(rule), body, Content_Type="application/json").status


def test_nobody_gets_in_anywhere_without_signing_in(
    shared_server: ServerProcess, people: dict[Role, Visitor]
) -> None:
    stranger = Visitor(shared_server, accept="application/json")
    for rule in RULES:
        if need_of(rule.endpoint) != "open":
            for method in methods_of(rule):
                assert status(shared_server, stranger, rule, method) == 401, (method, rule.rule)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_role_does_only_what_is_its_own(
    shared_server: ServerProcess, people: dict[Role, Visitor], role: Role
) -> None:
    refused = allowed = 0
    for rule in RULES:
        need = need_of(rule.endpoint)
        if rule.endpoint == "static" or need in ("open", "signed-in") or rule.endpoint in ENDS_IT:
            continue
        for method in methods_of(rule):
            found = status(shared_server, people[role], rule, method)
            if need in SCOPES_OF[role]:
                allowed += 1
                assert found not in (401, 403) and found < 500, (method, rule.rule, found)
            else:
                refused += 1
                assert found == 403, (method, rule.rule, found)
    assert refused > 10 and allowed > 40


def test_a_refusal_names_the_role_that_is_needed(people: dict[Role, Visitor]) -> None:
    answer = people["viewer"].post("/api/events", {"type": "a.b"})
    assert answer.status == 403
    assert answer.json["detail"] == "this needs the role operator; viewer is viewer"
    page = people["operator"].get("/access")
    assert page.status == 403 and "This needs the role admin" in page.text
    assert role_for("publish") == "operator"


def test_a_page_tells_the_browser_what_may_be_shown(people: dict[Role, Visitor]) -> None:
    assert 'data-can="read"' in people["viewer"].get("/alerts").text
    assert 'data-can="consume operate publish read"' in people["operator"].get("/alerts").text
    assert "Users and tokens" not in people["operator"].get("/").text
    assert "Users and tokens" in people["admin"].get("/").text


def test_decisions_are_made_in_the_name_of_who_has_signed_in(
    shared_server: ServerProcess, people: dict[Role, Visitor]
) -> None:
    operator = people["operator"]
    alert = {"type": "alert.warning", "data": {"service": "s", "error": "e"}}
    assert operator.post("/api/events?wait=handled", alert).status == 202
    found = operator.get("/api/alerts").json["alerts"][0]["id"]
    assert operator.post(f"/api/alerts/{found}/acknowledge", {"by": "the boss"}).status == 200
    events = operator.get("/api/events?type=alert.acknowledged").json["events"]
    assert events[0]["data"] == {"alert_id": found, "by": "operator", "from": "127.0.0.1"}
    token = make_token(people["admin"], "deploy", "operator")
    program = Visitor(shared_server, token)
    assert program.post(f"/api/alerts/{found}/resolve", {"by": "ana"}).status == 200
    events = operator.get("/api/events?type=alert.resolved").json["events"]
    assert events[0]["data"]["by"] == "ana (token deploy)"


def test_nobody_forges_the_audit_trail(
    shared_server: ServerProcess, people: dict[Role, Visitor]
) -> None:
    forged = {"type": "access.login.succeeded", "data": {"user": "bob"}}
    for body in (forged, [{"type": "a.b"}, forged]):
        answer = people["admin"].post("/api/events", body)
        assert answer.status == 403 and "only the server itself" in answer.json["detail"]
    form = {"type": forged["type"], "data": "{}"}
    assert people["admin"].submit("/publish", **form).status == 403


def test_somebody_who_is_demoted_disabled_or_removed_loses_it_at_once(
    shared_server: ServerProcess, people: dict[Role, Visitor]
) -> None:
    admin = people["admin"]
    add_user(shared_server, admin, "tmp", "operator")
    somebody = signed_in(shared_server, "tmp")
    assert somebody.post("/api/views/delete", {"name": "x"}).status == 404
    assert admin.post("/api/access/users/tmp/role", {"role": "viewer"}).status == 200
    assert somebody.post("/api/views/delete", {"name": "x"}).status == 403
    assert admin.post("/api/access/users/tmp/disable", {}).status == 200
    assert somebody.get("/api/stats").status == 401
    assert somebody.get("/").status == 303
    assert Visitor(shared_server).sign_in("tmp").status == 401
    assert admin.post("/api/access/users/tmp/remove", {}).status == 200
    assert admin.post("/api/access/users/tmp/remove", {}).status == 404


def test_the_last_admin_stays(people: dict[Role, Visitor]) -> None:
    admin = people["admin"]
    for action in ("disable", "remove"):
        answer = admin.post(f"/api/access/users/ada/{action}", {})
        assert answer.status == 409 and "only admin" in answer.json["detail"]
    assert admin.post("/api/access/users/ada/role", {"role": "viewer"}).status == 409


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"role": "viewer", "password": "long enough!"}, "/name"),
        ({"name": "a/b", "role": "viewer", "password": "long enough!"}, "/name"),
        ({"name": "\ud800", "password": "long enough!"}, "/name"),
        ({"name": "ok", "role": "boss", "password": "long enough!"}, "/role"),
        ({"name": "ok", "role": ["viewer"], "password": "long enough!"}, "/role"),
        ({"name": "ok", "role": "viewer", "password": "short"}, "/password"),
        ({"name": "ok", "role": "viewer", "password": 1234567890}, "/password"),
        ({"name": "ok", "role": "viewer", "password": "aaaaaaaaaaaa"}, "/password"),
    ],
)
def test_a_wrong_user_is_told_by_field(
    people: dict[Role, Visitor], body: dict[str, object], named: str
) -> None:
    answer = people["admin"].post("/api/access/users", body)
    assert answer.status == 400, answer.text
    assert [error["pointer"] for error in answer.json["errors"]] == [named]
