"""Incoming webhooks at the real server: signed as GitHub, Slack and others do, and as attackers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings, SettingsError
from handlers.standard_webhooks import key_of, signed_headers
from tests.helpers.server import ServerProcess

SECRET = "it-is-a-secret-of-github"
OTHER = "another-secret-while-changing"
STANDARD = "whsec_" + base64.b64encode(bytes(range(32))).decode()

FILE = f"""
[github]
scheme = "github"
secret = ["{OTHER}", "{SECRET}"]
type = "github.{{header:X-GitHub-Event}}.{{/action}}"
subject = "/repository/full_name"
max_bytes = 20000

[partner]
scheme = "standard"
secret_file = "partner.secret"
type = "partner.{{/type}}"

[slack]
scheme = "slack"
secret = "{SECRET}"
type = "slack.{{/event/type}}"

[shop]
scheme = "hmac"
secret = "{SECRET}"
header = "X-Shop-Hmac"
encoding = "base64"
type = "shop.order"
id = "/id"
origins = ["events.shop.example", "Other.Example"]

[timed]
scheme = "hmac"
secret = "{SECRET}"
header = "X-Sign"
prefix = "v1="
timestamp_header = "X-Time"
type = "timed.event-{{/kind}}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("server")
    (directory / "hooks.toml").write_text(FILE)
    (directory / "partner.secret").write_text(STANDARD + "\n")
    with ServerProcess(directory, EVENTBUS_HOOKS=str(directory / "hooks.toml")) as server:
        yield server


def digest(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def post(
    server: ServerProcess, name: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        given = {"Content-Type": "application/json", **headers}
        connection.request("POST", f"/hooks/{name}", body, given)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def github(
    server: ServerProcess, payload: Any, secret: str = SECRET, **headers: str
) -> tuple[int, dict[str, Any]]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signature = "sha256=" + digest(secret, body).hex()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return post(server, "github", body, {"X-Hub-Signature-256": signature, **given})


def event(server: ServerProcess, id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.api.get(f"/api/events/{id}").json
    return found


def count(server: ServerProcess) -> int:
    return int(server.api.get("/api/stats").json["sequence"])


def test_a_delivery_of_github_is_an_event_once(server: ServerProcess) -> None:
    payload = {"action": "opened", "repository": {"full_name": "shop/till"}, "number": 7}
    headers = {"X_GitHub_Event": "pull_request", "X_GitHub_Delivery": "d-1"}
    status, answer = github(server, payload, **headers)
    assert (status, answer["id"], answer["duplicate"]) == (202, "d-1", False)
    found = event(server, "d-1")
    assert found["type"] == "github.pull_request.opened"
    assert (found["source"], found["subject"]) == ("/hooks/github", "shop/till")
    assert found["data"] == payload
    assert github(server, payload, **headers) == (200, {**answer, "duplicate": True})
    # While a secret is changed the former one holds as well.
    status, _ = github(server, payload, OTHER, X_GitHub_Event="push", X_GitHub_Delivery="d-2")
    assert status == 202


def test_a_ping_of_github_is_answered_without_an_event(server: ServerProcess) -> None:
    before = count(server)
    assert github(server, {"zen": "x"}, X_GitHub_Event="ping") == (200, {"pong": True})
    assert count(server) == before


def test_parts_of_a_type_that_are_missing_or_odd_make_a_type_all_the_same(
    server: ServerProcess,
) -> None:
    for number, (payload, expected) in enumerate([
        ({}, "github.push"), ({"action": "a.b ☃"}, "github.push.a_b_"), ([1], "github.push"),
        ({"action": {"x": 1}}, "github.push"), ({"action": "*.#"}, "github.push.___"),
    ]):  # fmt: skip
        id = f"odd-{number}"
        status, answer = github(server, payload, X_GitHub_Event="push", X_GitHub_Delivery=id)
        assert status == 202, answer
        assert event(server, id)["type"] == expected
    assert event(server, "odd-2")["data"] == {"payload": [1]}
    assert event(server, "odd-0")["subject"] == "github"


def test_a_form_of_github_is_read_as_its_payload(server: ServerProcess) -> None:
    body = b"payload=%7B%22action%22%3A%22closed%22%7D"
    status, _ = github(
        server, body, X_GitHub_Event="issues", X_GitHub_Delivery="form-1",
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert status == 202
    assert event(server, "form-1")["type"] == "github.issues.closed"


def test_a_standard_webhook_has_its_own_id(server: ServerProcess) -> None:
    body = b'{"type": "user.created", "n": 1}'
    headers = signed_headers([key_of(STANDARD)], "msg_1", int(time.time()), body)
    status, answer = post(server, "partner", body, headers)
    assert (status, answer["id"]) == (202, "msg_1")
    assert event(server, "msg_1")["type"] == "partner.user_created"


def test_slack_is_challenged_and_then_heard(server: ServerProcess) -> None:
    def slack(payload: Any, at: float) -> tuple[int, dict[str, Any]]:
        body, stamp = json.dumps(payload).encode(), str(int(at))
        signature = "v0=" + digest(SECRET, f"v0:{stamp}:".encode() + body).hex()
        headers = {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": stamp}
        return post(server, "slack", body, headers)

    challenge = {"type": "url_verification", "challenge": "3eZbrw"}
    assert slack(challenge, time.time()) == (200, {"challenge": "3eZbrw"})
    message = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention"}}
    assert slack(message, time.time() - 400)[0] == 401
    assert slack(message, time.time())[0] == 202
    assert event(server, "Ev1")["type"] == "slack.app_mention"


def test_other_headers_encodings_and_times_can_be_configured(server: ServerProcess) -> None:
    body = b'{"id": 9007}'
    signature = base64.b64encode(digest(SECRET, body)).decode()
    assert post(server, "shop", body, {"X-Shop-Hmac": signature})[1]["id"] == "9007"
    stamp = str(int(time.time()))
    signature = "v1=" + digest(SECRET, f"{stamp}.".encode() + b'{"kind":"a"}').hex()
    headers = {"X-Sign": signature, "X-Time": stamp}
    status, answer = post(server, "timed", b'{"kind":"a"}', headers)
    assert status == 202
    assert event(server, answer["id"])["type"] == "timed.event-a"
    later = {**headers, "X-Time": str(int(stamp) + 1)}
    assert post(server, "timed", b'{"kind":"a"}', later)[0] == 401


def test_whatever_is_wrong_with_a_signature_the_answer_is_the_same(server: ServerProcess) -> None:
    body = b'{"a": 1}'
    right = "sha256=" + digest(SECRET, body).hex()
    before = count(server)
    answers = [
        post(server, "github", body, headers)
        for headers in (
            {}, {"X-Hub-Signature-256": ""}, {"X-Hub-Signature-256": right[:-1] + "x"},
            {"X-Hub-Signature-256": right.upper()}, {"X-Hub-Signature-256": "\xe2\x98\x83"},
            {"X-Hub-Signature": right}, {"X-Hub-Signature-256": right.removeprefix("sha256=")},
        )
    ]  # fmt: skip
    answers.append(post(server, "github", body + b" ", {"X-Hub-Signature-256": right}))
    answers.append(post(server, "github", b"", {"X-Hub-Signature-256": right}))
    answers.append(post(server, "partner", body, {"webhook-id": "x", "webhook-timestamp": "x"}))
    headers = signed_headers([key_of(STANDARD)], "msg_old", int(time.time()) - 400, body)
    answers.append(post(server, "partner", body, headers))
    assert {status for status, _ in answers} == {401}
    assert {answer["detail"] for _, answer in answers} == {"the signature is missing or wrong"}
    assert count(server) == before
    assert "hook github: a request from 127.0.0.1 is refused" in server.output()
    assert SECRET not in server.output()


def test_other_requests_are_refused_as_they_should_be(server: ServerProcess) -> None:
    assert post(server, "nothing", b"{}", {})[0] == 404
    assert server.api.get("/hooks/github").status == 405
    assert github(server, b"x" * 20_001, X_GitHub_Event="push")[0] == 413
    status, answer = github(server, b"{nonsense", X_GitHub_Event="push")
    assert (status, answer["title"]) == (400, "Wrong body")
    assert github(server, b"[" * 5_000, X_GitHub_Event="push")[0] == 400
    assert github(server, b'{"a": "\\u0000"}', X_GitHub_Event="push")[0] == 400
    assert github(server, b'{"a": NaN}', X_GitHub_Event="push")[0] == 400
    long = {"X_GitHub_Event": "e" * 500, "X_GitHub_Delivery": "i" * 3000}
    assert github(server, {}, **long)[0] == 202


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "is no TOML"),
        ("", "must have 1 to 100 sections"),
        ("[A]\n", "must be a section named by"),
        ("[a]\nscheme='md5'\n", "[a] scheme must be one of"),
        ("[a]\nscheme='github'\ntype='a'\n", "[a] secret is required"),
        ("[a]\nscheme='github'\ntype='a'\nsecret='0123456789abcde'\n", "at least 16 characters"),
        ("[a]\nscheme='standard'\ntype='a'\nsecret='whsec_x'\n", "[a] secret"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\n", "[a] type is wrong"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\ntype='{/a}.b'\n", "without a field"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\ntype='a.{b}'\n", "[a] type is wrong"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\ntype='a.*'\n", "[a] type is wrong"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\ntype='a'\nprefix='x'\n", "prefix is"),
        ("[a]\nscheme='github'\nsecret='0123456789abcdef'\ntype='a'\nid='x'\n", "[a] id is wrong"),
        ("[a]\nscheme='hmac'\nsecret_file='no'\ntype='a'\n", "secret_file cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_file_stops_the_start_and_says_where(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "hooks.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"EVENTBUS_HOOKS": str(tmp_path / "hooks.toml")})
    assert message in str(caught.value)
    assert "0123456789abcde" not in str(caught.value)


def asked(server: ServerProcess, path: str, **headers: str) -> tuple[str | None, str | None]:
    """What OPTIONS says of who may send, and how fast."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = server.new_api().request("OPTIONS", path, headers=named)
    assert "POST" in answer.headers["allow"]
    return (
        answer.headers.get("webhook-allowed-origin"), answer.headers.get("webhook-allowed-rate")
    )  # fmt: skip


def test_a_sender_that_asks_first_is_told_where_its_events_are_wanted(
    server: ServerProcess,
) -> None:
    for origin in ("events.shop.example", "OTHER.example"):
        assert asked(server, "/hooks/shop", WebHook_Request_Origin=origin) == (origin, "*")
    for path, origin in (
        ("/hooks/shop", "evil.example"), ("/hooks/shop", ""), ("/hooks/timed", "other.example"),
        ("/hooks/nowhere", "other.example"), ("/api/evaluations/x/retry", "other.example"),
    ):  # fmt: skip
        assert asked(server, path, WebHook_Request_Origin=origin) == (None, None)
    assert asked(server, "/api/events", WebHook_Request_Origin="a.example") == ("a.example", "*")
    for wrong in ("a b", "*", "a/b", "-a", "ä", "x" * 300):
        assert asked(server, "/api/events", WebHook_Request_Origin=wrong)[0] is None
