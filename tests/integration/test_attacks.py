"""Attacks on the server that docs/security.md lists and no other module tries already."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from app.access.acts import ACTS, is_own
from app.catalogue.opening import open_catalogue
from app.config import Settings
from eventbus import RemoteEventBus
from eventbus.catalogue.fields import BY, WHO
from tests.helpers.people import Visitor, add_first, add_user, make_token, signed_in
from tests.helpers.raw import send_raw, status_of
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within

SPLIT = "x\r\nSet-Cookie: owned=1\r\n\r\n<h1>owned</h1>"
HEAD = b"Host: localhost\r\nConnection: close\r\n"


def test_no_value_of_an_event_becomes_a_header(shared_server: ServerProcess) -> None:
    api = shared_server.new_api()
    event = {"type": "a.b", "id": SPLIT, "source": SPLIT, "subject": SPLIT}
    answer = api.post("/api/events", event)
    if answer.status == 202:
        sequence = answer.json["sequence"]
        answers = [answer, api.get("/api/events/" + quote(SPLIT, safe="")),
                   api.get(f"/events/at/{sequence}/raw"),
                   api.get(f"/events/at/{sequence}/take/ndjson"),
                   api.get("/api/events/export", q="owned")]  # fmt: skip
    else:
        answers = [answer]
    for one in answers:
        assert one.status < 500, one.text
        assert "set-cookie" not in one.headers
        assert "\n" not in "".join(one.headers.values())


@pytest.mark.parametrize(
    "path",
    [
        "/login?next=" + quote("/\r\nSet-Cookie: owned=1", safe=""),
        "/evaluations/by-id?eval_id=" + quote(SPLIT, safe=""),
        "/events/export?name=" + quote(SPLIT, safe=""),
        "/" + quote(SPLIT, safe=""),
        "/events/" + quote(SPLIT, safe=""),
    ],
)
def test_no_value_of_a_link_becomes_a_header(shared_server: ServerProcess, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nAccept: text/html\r\n".encode() + HEAD + b"\r\n"
    response = send_raw(shared_server.port, request)
    head, _, body = response.partition(b"\r\n\r\n")
    assert 200 <= status_of(response) < 500
    assert not any(line.lower().startswith(b"set-cookie: owned") for line in head.split(b"\n"))
    assert b"<h1>owned" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../wsgi.py",
        "/static/%2e%2e/wsgi.py",
        "/static/..%2fwsgi.py",
        "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static/..\\wsgi.py",
        "/static//etc/passwd",
        "/static/js/../../requirements.txt",
        "/static/%00",
        "/static/js/%2e%2e/%2e%2e/eventbus/__init__.py",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_static_files(shared_server: ServerProcess, path: str) -> None:
    response = send_raw(shared_server.port, f"GET {path} HTTP/1.1\r\n".encode() + HEAD + b"\r\n")
    assert 300 <= status_of(response) < 500, response[:200]  # or to the same without "//"
    assert b"root:" not in response
    assert b"create_app" not in response
    assert b"flask==" not in response


def test_the_database_is_not_served(shared_server: ServerProcess) -> None:
    name = shared_server.database.name
    for path in (f"/{name}", f"/static/{name}", f"/var/{name}", f"/static/../var/{name}-wal"):
        assert shared_server.api.get(path).status == 404


SMUGGLED = b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nX-Smuggled: yes\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\n folded\r\n",
        b"Content-Length: 0\r\nContent-Length: 60\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: 0x10\r\n",
    ],
)
def test_no_second_request_hides_in_a_first(shared_server: ServerProcess, fields: bytes) -> None:
    head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    response = send_raw(shared_server.port, head + fields + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert 400 <= status_of(response) <= 501, response[:300]
    assert response.count(b"HTTP/1.") == 1, response
    assert b'"counters"' not in response


def test_a_request_with_thousands_of_fields_is_refused(shared_server: ServerProcess) -> None:
    many = b"".join(b"X-Field-%d: %s\r\n" % (n, b"v" * 50) for n in range(5_000))
    response = send_raw(shared_server.port, b"GET /api/stats HTTP/1.1\r\n" + HEAD + many + b"\r\n")
    assert status_of(response) in (400, 431)


def test_hundreds_of_half_open_requests_hold_up_nobody(shared_server: ServerProcess) -> None:
    with ExitStack() as attackers:
        for number in range(300):
            one = socket.create_connection(("127.0.0.1", shared_server.port), timeout=5.0)
            attackers.enter_context(one)
            one.sendall(b"GET /api/stats HTTP/1.1\r\nHost: local"[: 1 + number % 38])
        began = time.monotonic()
        answer = shared_server.new_api().post("/api/events", {"type": "a.b"})
        assert answer.status == 202
        # Far from the ten seconds that one of them may keep a thread.
        assert time.monotonic() - began < within(5.0)


def test_a_pattern_or_search_that_is_made_to_be_slow_is_not(shared_server: ServerProcess) -> None:
    api = shared_server.new_api()
    api.publish(".".join(["a"] * 16))
    began = time.monotonic()
    slow = [
        {"type": ".".join(["#"] * 16)},
        {"type": ".".join(["*", "#"] * 8)},
        {"q": '"' * 400},
        {"q": "a* " * 150},
        {"q": " OR ".join(["a"] * 90)},
        {"q": "NEAR(" * 60},
        {"q": "(" * 300},
    ]
    for query in slow:
        assert api.get("/api/events", **query).status in (200, 400), query
    assert time.monotonic() - began < within(10.0)


@pytest.mark.parametrize(
    "name", ["type", "q", "subject", "correlation", "cursor", "order", "since", "limit"]
)
def test_no_parameter_is_sql(shared_server: ServerProcess, name: str) -> None:
    api = shared_server.new_api()
    before = api.get("/api/stats").json["sequence"]
    for attack in ("' OR 1=1 --", "'; DROP TABLE events; --", '" UNION SELECT * FROM users --'):
        answer = api.get("/api/events", **{name: attack})
        assert answer.status in (200, 400), answer.text
        assert answer.status == 400 or answer.json["events"] == []
    assert api.get("/api/stats").json["sequence"] == before


@pytest.mark.parametrize("unwritable", ["\ud800", "a\x00b"])
@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("/api/alerts/acknowledge", lambda text: {"ids": ["a", text]}),
        ("/api/deliveries/redrive", lambda text: {"subscription": text}),
        ("/api/deliveries/replay", lambda text: {"subscription": text, "since": "2026-01-01"}),
        ("/api/alerts/resolve", lambda text: {"ids": ["a"], text: 1}),
    ],
)
def test_text_that_no_database_takes_is_refused(
    shared_server: ServerProcess, path: str, make: Callable[[str], object], unwritable: str
) -> None:
    answer = shared_server.new_api().post(path, make(unwritable))
    assert answer.status == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_nothing_of_all_this_was_an_internal_error(shared_server: ServerProcess) -> None:
    assert "Traceback" not in shared_server.output()
    assert shared_server.new_api().publish("a.b")["sequence"] >= 1


HOOK = """
[grafana]
scheme = "hmac"
secret = "it-is-a-secret-of-grafana"
header = "X-Sign"
type = "alert.{/change}"
"""


def test_no_event_names_somebody_who_did_not_do_it(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "hooks.toml").write_text(HOOK)
    server = start_server(EVENTBUS_HOOKS=str(tmp_path / "hooks.toml"))
    add_first(server)
    admin = signed_in(server)
    add_user(server, admin, "bob", "operator")
    bob = signed_in(server, "bob")
    token = make_token(admin, "ci", "publish", "read", "consume")
    program = Visitor(server, token)
    alert = {"type": "alert.warning", "data": {"service": "s", "error": "e"}}
    assert bob.post("/api/events?wait=handled", alert).status == 202
    (found,) = bob.get("/api/alerts").json["alerts"]

    def decision(change: str, **more: object) -> dict[str, object]:
        return {"type": f"alert.{change}", "data": {"alert_id": found["id"], **more}}

    def last(type: str) -> tuple[str, str]:
        data = admin.get(f"/api/events?type={type}&limit=1").json["events"][0]["data"]
        return data["by"], data["from"]

    # Somebody who has signed in can only be themselves, whichever way they publish.
    forged = decision("acknowledged", by="ada")
    for body, pointer in ((forged, "/data/by"), ([alert, forged], "/1/data/by")):
        answer = bob.post("/api/events", body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (403, pointer)
        assert "ada" in answer.json["detail"] and "'bob' is who sends it" in answer.json["detail"]
    later = {**forged, "delay": 1}
    assert bob.post("/api/events", later).status == 403
    assert bob.post("/api/events/preview", forged).status == 403
    page = bob.submit("/publish", type="alert.acknowledged", data=json.dumps(forged["data"]))
    assert page.status == 422 and "who sends it; leave it out" in page.text
    shown = bob.submit(
        "/publish/preview", type="alert.acknowledged", data=json.dumps(forged["data"])
    )
    assert shown.status == 200 and "it would be refused, /data/by names" in shown.text
    assert bob.get("/api/events?type=alert.acknowledged").json["events"] == []
    assert bob.post("/api/events?wait=handled", decision("acknowledged")).status == 202
    assert last("alert.acknowledged") == ("bob", "127.0.0.1")
    assert "<b>bob" in admin.get(f"/alerts/{found['id']}").text

    # A program may say for whom it acts, and is named beside them.
    lies = {"by": "ada", "from": "10.0.0.1"}
    assert program.post("/api/events?wait=handled", decision("resolved", **lies)).status == 202
    assert last("alert.resolved") == ("ada (token ci)", "127.0.0.1")
    assert "<b>ada (token ci)" in admin.get(f"/alerts/{found['id']}").text
    again = decision("resolved", by="ada (token ci)")
    assert program.post("/api/events", again).status == 202
    assert last("alert.resolved") == ("ada (token ci)", "127.0.0.1")
    assert program.post("/api/events", decision("muted", mode="1h")).status == 202
    assert last("alert.muted") == ("token ci", "127.0.0.1")
    assert program.post("/api/events", decision("resolved", by=["ada"])).status == 400
    assert program.post("/api/events", {"type": "bus.rebuild.started", "data": lies}).status == 403

    # So are hooks and remote handlers.
    body = json.dumps({"change": "unmuted", "alert_id": found["id"], "by": "ada"}).encode()
    sign = hmac.new(b"it-is-a-secret-of-grafana", body, hashlib.sha256).hexdigest()
    sent = program.request("POST", "/hooks/grafana", body.decode(), X_Sign=sign)
    assert sent.status == 202, sent.text
    assert last("alert.unmuted") == ("ada (hook grafana)", "127.0.0.1")
    with RemoteEventBus(server.url, token=token, linger_s=0.0) as bus:
        bus.subscribe(
            "forge.*",
            lambda event: bus.publish(event["type"], {"name": "x", "type": "a", "by": "ada"}),
            name="forger", max_attempts=1,
        )  # fmt: skip
        bus.publish("forge.this", {"type": "dashboard.view.saved"}).wait(10.0)
        bus.publish("forge.that", {"type": "bus.stopped"}).wait(10.0)
        wait_until(
            lambda: (
                admin.get("/api/deliveries?state=dead").json["deliveries"]
                and admin.get("/api/events?type=dashboard.view.saved").json["events"]
            ),
            "both are handled",
        )
    assert last("dashboard.view.saved") == ("ada (token ci)", "127.0.0.1")
    (dead,) = admin.get("/api/deliveries?state=dead").json["deliveries"]
    assert "only the server itself publishes it" in dead["error_message"]


def test_every_declared_act_is_the_servers_own_or_signed() -> None:
    declared = open_catalogue(Settings()).all()
    acts = {
        each.type
        for each in declared
        if (each.schema or {}).get("properties", {}).get("by") in (BY, WHO)
    }
    assert len(acts) > 30
    assert {type for type in acts if type not in ACTS and not is_own(type)} == set()
