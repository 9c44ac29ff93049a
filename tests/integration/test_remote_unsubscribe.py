"""Unsubscribing in a client: asked of the bus first, so that it is done whole or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from eventbus import RemoteEventBus
from eventbus.errors import BusUnavailableError, SubscriptionError
from tests.helpers.bus import LONG_S, Recorder
from tests.helpers.clients import messages
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

QUICK: dict[str, Any] = {"linger_s": 0.005, "backoff_first_s": 0.05, "backoff_max_s": 0.2}


@pytest.fixture
def server(start_server) -> ServerProcess:
    """It waits for consumers that are gone for longer than any test takes."""
    return start_server(EVENTBUS_BACKOFF_FIRST_S="0.01", EVENTBUS_CONSUMER_GRACE_S="60")


def publish(server: ServerProcess, n: int) -> str:
    answer = server.api.post("/api/events", {"type": "a.b", "data": {"n": n}})
    event_id: str = answer.json["id"]
    return event_id


def finished(server: ServerProcess, event_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = server.api.get(f"/api/events/{event_id}/deliveries").json["deliveries"]
        ends = (d for d in found if d["subscription"] == "kept")
        return next((d for d in ends if d["state"] in ("succeeded", "dead")), None)

    return wait_until(look, "the end", LONG_S)


def test_unsubscribing_while_the_bus_is_away_changes_nothing_and_can_be_repeated(
    server, caplog
) -> None:
    may_go = threading.Event()
    recorder = Recorder(lambda event: may_go.wait(LONG_S))
    with RemoteEventBus(server.url, **QUICK) as client:
        client.subscribe("a.b", recorder, name="kept")
        first = publish(server, 1)
        recorder.wait_for(1)
        server.stop()
        may_go.set()
        with pytest.raises(BusUnavailableError):
            client.unsubscribe("kept")

        server.start()
        assert len(finished(server, first)["attempts"]) == 1  # what it had done is told
        second = publish(server, 2)
        assert finished(server, second)["state"] == "succeeded"
        assert recorder.values("n") == [1, 2]

        client.unsubscribe("kept")
        names = [s["name"] for s in server.api.get("/api/subscriptions").json["subscriptions"]]
        assert "kept" not in names
        assert messages(caplog, "is served no more") == []
        with pytest.raises(
            SubscriptionError, match="no subscription of this client is named 'kept'"
        ):
            client.unsubscribe("kept")
        client.subscribe("a.b", recorder, name="kept")  # the name is free again


def test_what_the_bus_has_never_heard_of_is_unsubscribed_all_the_same(server) -> None:
    server.stop()
    with RemoteEventBus(server.url, **{**QUICK, "backoff_first_s": 60.0}) as client:
        client.subscribe("a.b", Recorder(), name="early")
        server.start()
        client.unsubscribe("early")
        with pytest.raises(SubscriptionError, match="no subscription of this client"):
            client.unsubscribe("early")
