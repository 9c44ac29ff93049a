"""RemoteEventBus and the real server: every event is there once, also when the server is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from eventbus import RemoteEventBus
from eventbus.errors import EventRefusedError
from tests.helpers.clients import balance
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture
def client(server: ServerProcess) -> Iterator[RemoteEventBus]:
    with RemoteEventBus(server.url, linger_s=0.01, backoff_first_s=0.05, backoff_max_s=0.2) as bus:
        yield bus


def recorded(server: ServerProcess, pattern: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, object] = {"type": pattern, "order": "asc", "limit": 1000}
    while True:
        page = server.api.get("/api/events", **query).json
        found += page["events"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def test_what_is_published_is_what_is_recorded(server, client) -> None:
    receipt = client.publish(
        "evaluation.started", {"eval_id": "eval-ü", "text": "<b>\u2028</b>"}, source="/s",
        time="2026-11-24T10:00:00+01:00", correlationid="c", causationid="d", dataschema="/x",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )  # fmt: skip
    event = receipt.wait(10)
    shown = server.api.get(f"/api/events/{event.id}").json
    assert shown == event.to_dict()
    assert shown["sequence"] == event.sequence
    assert shown["time"] == "2026-11-24T09:00:00.000000Z"


def test_a_coroutine_awaits_until_its_event_is_on_disk(server, client) -> None:
    async def publish() -> int | None:
        event = await client.publish("a.b", {"n": 1})
        return event.sequence

    sequence = asyncio.run(publish())
    server.kill9()
    server.start()
    assert recorded(server, "a.b")[0]["sequence"] == sequence


def test_the_server_names_the_event_that_it_refuses(start_server) -> None:
    server = start_server(EVENTBUS_MAX_EVENT_BYTES="2000")
    with RemoteEventBus(server.url, linger_s=0.5) as client:
        receipts = [client.publish("a.b", {"n": n}) for n in range(100)]
        large = client.publish("a.b", {"text": "x" * 3000})
        assert client.flush(10)
        assert balance(client) == (101, 100, 0, 1, 0)
        with pytest.raises(EventRefusedError, match="2000 bytes"):
            large.wait(1)
    assert [e["id"] for e in recorded(server, "a.b")] == [r.event.id for r in receipts]


def test_requests_that_are_too_large_for_the_server_are_made_smaller(start_server) -> None:
    server = start_server(EVENTBUS_MAX_EVENT_BYTES="10000", EVENTBUS_MAX_BODY_BYTES="50000")
    with RemoteEventBus(server.url, linger_s=0.5) as client:
        for _ in range(100):
            client.publish("a.b", {"text": "x" * 3000})
        assert client.flush(10)
        assert balance(client) == (100, 100, 0, 0, 0)
    assert len(recorded(server, "a.b")) == 100


def test_a_server_that_is_killed_again_and_again_has_every_event_once(server, client) -> None:
    published: list[str] = []
    for _ in range(3):
        batch_end = len(published) + 1_000
        sent_before = client.stats.sent
        while len(published) < batch_end:
            published.append(client.publish("a.b", {"n": len(published)}).event.id)
        wait_until(lambda before=sent_before: client.stats.sent > before, "some are sent")
        server.kill9()
        published += [client.publish("a.b", {"n": n}).event.id for n in range(200)]
        server.start()
    assert client.flush(30)
    assert balance(client) == (3_600, 3_600, 0, 0, 0)
    assert [event["id"] for event in recorded(server, "a.b")] == published
