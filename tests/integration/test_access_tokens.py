"""Bearer tokens over real sockets: scopes, patterns, ends, WebSockets, the client library."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eventbus import RemoteEventBus
from eventbus.errors import BusUnavailableError
from tests.helpers.people import Visitor, add_first, make_token, signed_in
from tests.helpers.raw_websocket import RawWebSocket, handshake
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def admin(shared_server: ServerProcess) -> Iterator[Visitor]:
    """The admin ada of the shared server, signed in."""
    add_first(shared_server)
    yield signed_in(shared_server)


def test_a_token_does_what_its_scopes_say(shared_server: ServerProcess, admin: Visitor) -> None:
    producer = Visitor(shared_server, make_token(admin, "producer", "publish"))
    assert producer.post("/api/events", {"type": "a.b"}).status == 202
    answer = producer.get("/api/events")
    assert answer.status == 403
    assert 'scope="read"' in answer.headers["www-authenticate"]
    reader = Visitor(shared_server, make_token(admin, "reader", "read"))
    assert reader.get("/api/events").status == 200
    assert reader.post("/api/events", {"type": "a.b"}).status == 403
    assert reader.get("/api/access/me").json["name"] == "reader"
    # Who asks before whether its events are wanted (CloudEvents webhooks, §4) is told by its token.
    for who, allowed in ((producer, "a.example"), (reader, None)):
        asked = who.request("OPTIONS", "/api/events", WebHook_Request_Origin="a.example")
        assert (asked.status, asked.headers.get("webhook-allowed-origin")) == (200, allowed)


def test_a_pattern_bounds_what_may_be_published(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    token = make_token(admin, "evals", "publish", pattern="evaluation.*")
    producer = Visitor(shared_server, token)
    assert producer.post("/api/events", {"type": "evaluation.noted"}).status == 202
    batch = [{"type": "evaluation.noted"}, {"type": "alert.critical"}]
    before = admin.get("/api/stats").json["sequence"]
    assert producer.post("/api/events", batch).status == 403
    assert admin.get("/api/stats").json["sequence"] == before  # nothing of the batch
    refused = admin.post(
        "/api/access/tokens", {"name": "x", "scopes": ["operate", "publish"], "pattern": "a.*"}
    )
    assert refused.json["errors"][0]["pointer"] == "/pattern"


def test_a_pattern_bounds_what_may_be_cancelled(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    token = make_token(admin, "canceller", "publish", pattern="evaluation.*")
    producer = Visitor(shared_server, token)
    for id, type, source in (("c-1", "evaluation.noted", "/a"), ("c-1", "alert.noted", "/b"),
                             ("c-2", "alert.noted", "/a")):  # fmt: skip
        event = {"type": type, "id": id, "source": source, "delay": 3600}
        assert admin.post("/api/events", event).status == 202
    for path in ("c-1", "c-2", "c-1?source=/b"):
        refused = producer.request("DELETE", f"/api/scheduled/{path}")
        assert refused.status == 403
        assert "for the types evaluation.* alone" in refused.json["detail"]
        assert "alert.noted" not in refused.text
    with RemoteEventBus(shared_server.url, token=token) as bus:
        with pytest.raises(BusUnavailableError, match=r"403: c-2: the token is for the types"):
            bus.cancel("c-2")
        assert bus.cancel("c-1", source="/a")
    assert producer.request("DELETE", "/api/scheduled/c-3").status == 404
    for path in ("c-1?source=/b", "c-2"):  # which are there still
        assert admin.request("DELETE", f"/api/scheduled/{path}").status == 200
    assert admin.get("/api/scheduled/c-1").status == 404


def test_a_token_is_told_once_and_kept_as_a_digest(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    token = make_token(admin, "secret one", "read", days=1)
    assert token.startswith("evb_") and len(token) == 47
    listed = admin.get("/api/access/tokens")
    assert token not in listed.text
    found = next(each for each in listed.json["tokens"] if each["name"] == "secret one")
    assert found["last_used_at"] is None and found["expires_at"] is not None
    Visitor(shared_server, token).get("/api/stats")
    listed = admin.get("/api/access/tokens")
    found = next(each for each in listed.json["tokens"] if each["name"] == "secret one")
    assert found["last_used_at"] is not None
    assert token not in admin.get("/api/events?limit=1000").text
    for file in shared_server.directory.glob("events.db*"):
        assert token.encode() not in file.read_bytes(), file


def test_a_wrong_token_is_no_token_even_with_a_session(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    for value in ("Bearer evb_wrong", "Bearer", "Basic YTpi", "Bearer \u00e9"):
        answer = admin.request("GET", "/api/stats", Authorization=value)
        assert answer.status == 401, value
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_an_expired_token_opens_nothing(shared_server: ServerProcess, admin: Visitor) -> None:
    token = make_token(admin, "brief", "read", days=1.0 / 86_400)
    program = Visitor(shared_server, token)
    wait_until(lambda: program.get("/api/stats").status == 401, "the second is over")


def test_a_revoked_token_closes_its_sockets_and_no_others(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    tokens = [make_token(admin, f"socket {n}", "read") for n in range(2)]
    streams = []
    for token in tokens:
        answer, connection = handshake(
            shared_server.port, "/api/stream", {"Authorization": f"Bearer {token}"}
        )
        assert answer.status == 101
        connection.settimeout(20.0)
        streams.append(connection)
    assert admin.post("/api/access/tokens/socket 0/revoke".replace(" ", "%20"), {}).status == 200
    received = b""
    while part := streams[0].recv(65_536):
        received += part
    assert received.endswith(b"\x88\x16\x03\xf0not allowed any more")  # 1008
    assert Visitor(shared_server, tokens[0]).get("/api/stats").status == 401
    assert Visitor(shared_server, tokens[1]).get("/api/stats").status == 200
    streams[1].settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            assert streams[1].recv(65_536), "the other one's socket was closed, too"
    for connection in streams:
        connection.close()


def test_sockets_are_bounded_for_each(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(EVENTBUS_MAX_SOCKETS_PER_USER="2")
    add_first(server)
    admin = signed_in(server)
    token = make_token(admin, "many", "read")
    headers = {"Authorization": f"Bearer {token}"}
    opened = [handshake(server.port, "/api/stream", headers) for _ in range(3)]
    assert [answer.status for answer, _ in opened] == [101, 101, 429]
    assert opened[2][0].headers["retry-after"] == "5"
    assert admin.cookie is not None
    own, connection = handshake(
        server.port, "/api/stream", {"Cookie": admin.cookie, "Origin": server.url}
    )
    assert own.status == 101  # somebody else's bound is their own
    for _, each in (*opened, (own, connection)):
        each.close()
    wait_until(
        lambda: handshake(server.port, "/api/stream", headers)[0].status == 101, "there is room"
    )


def test_requests_are_limited_when_that_is_wanted(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_RATE_LIMIT="5/1h")
    asked = {"WebHook-Request-Origin": "a.example", "WebHook-Request-Rate": "500"}
    granted = server.api.request("OPTIONS", "/api/events", headers=asked)
    assert granted.headers["webhook-allowed-rate"] == "1"
    answers = [server.api.get("/api/stats") for _ in range(20)]
    first = next(n for n, answer in enumerate(answers) if answer.status == 429)
    assert first <= 4
    assert all(answer.status == 429 for answer in answers[first:])
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3600
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert server.new_api().get("/static/css/tokens.css").status == 200


def test_the_client_publishes_and_subscribes_with_a_token(
    shared_server: ServerProcess, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_token(admin, "worker", "publish", "read", "consume")
    monkeypatch.setenv("EVENTBUS_TOKEN", worker)
    handled: list[str] = []
    with RemoteEventBus(shared_server.url, linger_s=0.0) as bus:
        bus.subscribe("client.*", lambda event: handled.append(event.id), name="with-a-token")
        bus.subscribe("client.*", lambda event: handled.append(event.id))
        sent = bus.publish("client.asked", {})
        assert sent.wait(10.0).sequence
        wait_until(lambda: handled == [sent.event.id] * 2, "both subscriptions have it")
        bus.unsubscribe("with-a-token")
    with RemoteEventBus(shared_server.url, token="evb_nobody", linger_s=0.0) as stranger:
        refused = stranger.publish("client.asked", {})
        assert not stranger.flush(0.5)
        del refused
    with pytest.raises(ValueError, match="token"):
        RemoteEventBus(shared_server.url, token="two words")


def test_what_a_handler_with_a_token_takes_back_is_in_the_tokens_name(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    token = make_token(admin, "cashier", "publish", "read", "consume")
    with RemoteEventBus(shared_server.url, token=token, linger_s=0.0) as bus:
        for id in ("expiry-1", "expiry-2"):
            bus.publish("token.expired", id=id, source="/shop", delay=3_600)
        assert bus.cancel("expiry-1", by="ann")
        bus.subscribe("token.paid", lambda _: bus.cancel("expiry-2", by="bob"), name="paid")
        bus.publish("token.paid")
        told = "/api/events?type=bus.schedule.cancelled&order=asc&subject=token.expired"
        wait_until(lambda: len(admin.get(told).json["events"]) == 2, "both are taken back")
        bus.unsubscribe("paid")
    found = [each["data"] for each in admin.get(told).json["events"]]
    assert [(each["id"], each["by"]) for each in found] == [
        ("expiry-1", "ann (token cashier)"), ("expiry-2", "bob (token cashier)")
    ]  # fmt: skip
    assert all(each["from"] for each in found)


def test_a_consumer_cannot_forge_the_audit_trail(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    token = make_token(admin, "forger", "consume", "publish")
    with RemoteEventBus(shared_server.url, token=token, linger_s=0.0) as bus:
        bus.subscribe(
            "forge.*",
            lambda event: bus.publish("access.login.succeeded", {"user": "bob"}),
            name="forger",
        )
        bus.publish("forge.this", {}).wait(10.0)
        wait_until(
            lambda: (
                "the server's own" in admin.get("/handlers/forger").text
                or admin.get("/api/events?type=access.login.succeeded&q=bob").json["events"] == []
            ),
            "it is refused",
        )
    assert admin.get("/api/events?type=access.login.succeeded&q=bob").json["events"] == []


def test_a_raw_socket_without_a_token_is_refused(
    shared_server: ServerProcess, admin: Visitor
) -> None:
    with pytest.raises(ConnectionError):
        RawWebSocket(shared_server.port, "/api/stream")
