"""RemoteEventBus takes scheduled events back: from outside, and as an effect of a handler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventbus import Event, RemoteEventBus
from eventbus.errors import (
    ActorError,
    BusClosedError,
    BusUnavailableError,
    EventValidationError,
)
from tests.helpers.bus import LONG_S
from tests.helpers.consumer_socket import ConsumerSocket
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

HOUR_S = 3_600


@pytest.fixture
def client(shared_server: ServerProcess) -> Iterator[RemoteEventBus]:
    with RemoteEventBus(shared_server.url, linger_s=0.005, timeout_s=LONG_S) as bus:
        yield bus


def scheduled(server: ServerProcess) -> set[str]:
    return {each["id"] for each in server.api.get("/api/scheduled", limit=1000).json["scheduled"]}


def told(server: ServerProcess, id: str) -> list[dict[str, Any]]:
    """What the log says of cancellations of the id, oldest first."""
    events = server.api.get("/api/events", type="bus.schedule.cancelled", order="asc").json
    return [each for each in events["events"] if each["data"]["id"] == id]


def test_what_was_published_just_before_is_taken_back_too(
    shared_server: ServerProcess, client: RemoteEventBus
) -> None:
    client.publish("remote.later", id="rc/1", source="/a", delay=HOUR_S)
    client.publish("remote.later", id="rc/1", source="/b", delay=HOUR_S)
    assert not client.cancel("rc/1", source="/nobody")
    assert client.cancel("rc/1", source="/a", by="ana")
    assert client.cancel("rc/1")
    assert not client.cancel("rc/1")
    assert "rc/1" not in scheduled(shared_server)
    by = [(each["data"]["source"], each["data"]["by"]) for each in told(shared_server, "rc/1")]
    assert by == [("/a", "ana"), ("/b", "somebody")]


def test_on_an_event_loop_it_is_awaited(client: RemoteEventBus) -> None:
    async def run() -> tuple[bool | None, bool | None]:
        client.publish("remote.later", id="rc-2", delay=HOUR_S)
        return await client.cancel("rc-2"), await client.cancel("rc-2")

    assert asyncio.run(run()) == (True, False)


def test_a_deadline_is_set_reset_and_called_off_by_handlers_in_another_process(
    shared_server: ServerProcess, client: RemoteEventBus
) -> None:
    api = shared_server.api
    failures = [RuntimeError("the first attempt takes nothing back")]
    seen: list[object] = []

    async def placed(event: Event) -> None:
        await client.publish("rc.expired", {"n": 1}, id="rc-3", source="/shop", delay=HOUR_S)

    async def changed(event: Event) -> None:
        seen.append(await client.cancel("rc-3"))
        await client.publish("rc.expired", {"n": 2}, id="rc-3b", source="/shop", delay=HOUR_S)
        client.publish("rc.noted")

    def paid(event: Event) -> None:
        client.cancel("rc-3b", by="cashier")
        client.cancel("rc-3b", by="twice")
        client.publish("rc.thanked")
        client.publish("rc.expired", id="rc-4", delay=HOUR_S)
        client.cancel("rc-4")
        if failures:
            raise failures.pop()

    for type, handler in (("rc.placed", placed), ("rc.changed", changed), ("rc.paid", paid)):
        client.subscribe(type, handler, name=type).wait_ready(LONG_S)
    api.publish("rc.placed", {})
    wait_until(lambda: "rc-3" in scheduled(shared_server), "the deadline is set")
    api.publish("rc.changed", {})
    wait_until(lambda: "rc-3b" in scheduled(shared_server), "it is reset")
    assert "rc-3" not in scheduled(shared_server) and seen == [None]
    (first,) = told(shared_server, "rc-3")
    assert first["source"] == "/handlers/rc.changed"
    assert len(api.get("/api/events", type="rc.noted").json["events"]) == 1
    api.publish("rc.paid", {})
    wait_until(
        lambda: api.get("/api/events", type="rc.thanked").json["events"], "it is paid", LONG_S
    )
    assert not {"rc-3b", "rc-4"} & scheduled(shared_server)
    (once,) = told(shared_server, "rc-3b")
    assert (once["data"]["by"], once["source"]) == ("cashier", "/handlers/rc.paid")
    assert told(shared_server, "rc-4") == []
    assert len(api.get("/api/events", type="rc.thanked").json["events"]) == 1
    for name in ("rc.placed", "rc.changed", "rc.paid"):
        client.unsubscribe(name)


def test_a_handler_without_a_name_takes_back_once_it_has_succeeded(
    shared_server: ServerProcess, client: RemoteEventBus
) -> None:
    done = threading.Event()

    def over(event: Event) -> None:
        client.publish("rc.later", id="rc-5", source="/e", delay=HOUR_S)
        client.cancel("rc-5", source="/e")
        client.publish("rc.later", id="rc-6", source="/e", delay=HOUR_S)
        done.set()

    client.subscribe("rc.live", lambda event: over(event)).wait_ready(LONG_S)
    shared_server.api.publish("rc.live", {})
    assert done.wait(LONG_S)
    wait_until(lambda: "rc-6" in scheduled(shared_server), "it has succeeded")
    assert "rc-5" not in scheduled(shared_server) and len(told(shared_server, "rc-5")) == 1
    client.cancel("rc-6")


def test_a_schedule_that_cannot_be_named_fails_the_attempt_and_says_which(
    shared_server: ServerProcess,
) -> None:
    api = shared_server.api
    with ConsumerSocket(shared_server, "rc.odd", "rc.odd", max_attempts=1) as consumer:
        id = api.publish("rc.odd", {})["id"]
        number = consumer.receive()["delivery"]
        cancels = [{"id": "fine"}, {"id": "", "by": 7}, {"id": "late", "after": 3}]
        consumer.say({"ack": number, "events": [{"type": "fine.one"}], "cancels": cancels})

        def dead() -> list[str]:
            found = api.get(f"/api/events/{id}/deliveries").json["deliveries"]
            return [each["error_message"] for each in found if each["state"] == "dead"]

        wait_until(dead, "it is dead")
        for pointer in ("/cancels/1/id", "/cancels/1/by", "/cancels/2/after"):
            assert pointer in dead()[0]
        api.publish("rc.odd", {})
        consumer.say({"ack": consumer.receive()["delivery"], "cancels": {"id": "x"}})
        assert consumer.wait_closed() == 1008
    assert api.request("DELETE", "/api/subscriptions/rc.odd?force=true").status == 200


def test_what_cannot_be_asked_for_is_said(client: RemoteEventBus) -> None:
    with pytest.raises(EventValidationError, match="/id"):
        client.cancel("")
    with pytest.raises(EventValidationError, match="/source"):
        client.cancel("rc", source="\n")
    with pytest.raises(ActorError):
        client.cancel("rc", by=" ")
    away = RemoteEventBus("http://127.0.0.1:9", timeout_s=LONG_S)
    with pytest.raises(BusUnavailableError):
        away.cancel("rc")
    away.close()
    with pytest.raises(BusClosedError):
        away.cancel("rc")
