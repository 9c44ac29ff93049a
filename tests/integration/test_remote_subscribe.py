"""Remote subscriptions when things break: servers, processes, connections, acknowledgements."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from eventbus import Event, RemoteEventBus
from eventbus.errors import SubscriptionError
from tests.helpers.bus import LONG_S, Recorder
from tests.helpers.clients import messages
from tests.helpers.proxy import Proxy
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until

QUICK: dict[str, Any] = {"linger_s": 0.005, "backoff_first_s": 0.05, "backoff_max_s": 0.2}


@pytest.fixture
def server(start_server) -> ServerProcess:
    return start_server(
        EVENTBUS_BACKOFF_FIRST_S="0.01",
        EVENTBUS_BACKOFF_MAX_S="0.05",
        EVENTBUS_CONSUMER_GRACE_S="2",
    )


@pytest.fixture
def patient(start_server) -> ServerProcess:
    """A server that waits for consumers that are gone for longer than any test takes."""
    return start_server(EVENTBUS_BACKOFF_FIRST_S="0.01", EVENTBUS_CONSUMER_GRACE_S="60")


@pytest.fixture
def client(server) -> Iterator[RemoteEventBus]:
    with RemoteEventBus(server.url, **QUICK) as bus:
        yield bus


def subscription(server: ServerProcess, name: str) -> dict[str, Any]:
    found = server.api.get("/api/subscriptions").json["subscriptions"]
    return next(s for s in found if s["name"] == name)


def delivery(server: ServerProcess, event_id: str, name: str) -> dict[str, Any]:
    found = server.api.get(f"/api/events/{event_id}/deliveries").json["deliveries"]
    return next(d for d in found if d["subscription"] == name)


def finished(server: ServerProcess, event_id: str, name: str) -> dict[str, Any]:
    wait_until(
        lambda: delivery(server, event_id, name)["state"] in ("succeeded", "dead"), "the end", 20
    )
    return delivery(server, event_id, name)


def everything(server: ServerProcess, type: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, object] = {"type": type, "order": "asc", "limit": 1000}
    while True:
        page = server.api.get("/api/events", **query).json
        found += page["events"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def test_a_server_killed_under_consumption_loses_nothing_and_effects_happen_once(
    server, client
) -> None:
    async def handle(event: Event) -> None:
        await asyncio.sleep(0.001)
        await client.publish("work.done", {"of": event["n"]})

    client.subscribe("work.todo", handle, name="worker", concurrency=32)
    total = 0
    for _ in range(3):
        done_before = client_done(server)
        for _ in range(600):
            client.publish("work.todo", {"n": total}, subject=str(total % 50))
            total += 1
        wait_until(lambda before=done_before: client_done(server) > before, "some are handled")
        server.kill9()
        server.start()
    assert client.flush(LONG_S)
    wait_until(lambda: subscription(server, "worker")["lag"] == 0, "all are handled", 30)
    todo, done = everything(server, "work.todo"), everything(server, "work.done")
    assert sorted(e["data"]["n"] for e in todo) == list(range(total))
    assert Counter(e["data"]["of"] for e in done) == Counter(range(total))
    cause = {e["id"]: e["data"]["n"] for e in todo}
    assert all(cause[e["causationid"]] == e["data"]["of"] for e in done)


def client_done(server: ServerProcess) -> int:
    events = server.api.get("/api/events", type="work.done", limit=1).json["events"]
    return events[0]["sequence"] if events else 0


@contextlib.contextmanager
def consumer_process(server: ServerProcess, name: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.consumer_process", server.url, "job.*", name],
        cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def publish(server: ServerProcess, type: str, data: dict[str, Any], **more: Any) -> str:
    answer = server.api.post("/api/events", {"type": type, "data": data, **more})
    event_id: str = answer.json["id"]
    return event_id


def test_a_consumer_killed_in_a_handler_leaves_its_work_to_the_next(server) -> None:
    with consumer_process(server, "jobs") as process:
        held = publish(server, "job.a", {"n": 1, "hang": True}, subject="s")
        later = publish(server, "job.a", {"n": 2}, subject="s")
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
    recorder = Recorder()
    with RemoteEventBus(server.url, **QUICK) as other:
        other.subscribe("job.*", recorder, name="jobs", max_attempts=2)
        recorder.wait_for(2)
        assert recorder.values("n") == [1, 2]
        attempts = finished(server, held, "jobs")["attempts"]
        assert [a["outcome"] for a in attempts] == ["crashed", "succeeded"]
        assert finished(server, later, "jobs")["attempt"] == 1


def test_an_event_that_kills_its_consumers_ends_as_a_dead_letter(server) -> None:
    event_id = None
    for _ in range(2):
        with consumer_process(server, "jobs") as process:
            event_id = event_id or publish(server, "job.a", {"n": 1, "kill": True})
            assert process.wait(LONG_S) == 1
    dead = finished(server, event_id or "", "jobs")
    assert (dead["state"], dead["error_class"]) == ("dead", "ConsumerLostError")
    assert [a["outcome"] for a in dead["attempts"]] == ["crashed", "crashed"]


def test_a_connection_lost_while_a_handler_runs_is_neither_an_attempt_nor_a_second_run(
    patient,
) -> None:
    calls: list[int] = []
    may_end = threading.Event()

    def handle(event: Event) -> None:
        calls.append(event["n"])
        assert may_end.wait(LONG_S)

    with Proxy(patient.port) as proxy, RemoteEventBus(proxy.url, **QUICK) as client:
        waiting = client.subscribe("a.b", handle, name="lossy")
        event_id = publish(patient, "a.b", {"n": 1})
        wait_until(lambda: calls, "the handler runs")
        for _ in range(3):
            proxy.is_away = True  # until it is noticed: a connection is made again in no time
            wait_until(lambda: not waiting.is_ready, "the loss is noticed")
            proxy.is_away = False
            assert waiting.wait_ready(LONG_S)
        may_end.set()
        assert finished(patient, event_id, "lossy")["attempt"] == 1
    assert calls == [1]


def test_an_answer_that_was_lost_is_given_again_without_a_second_run(patient) -> None:
    calls: list[int] = []
    may_end = threading.Event()

    def handle(event: Event) -> None:
        calls.append(event["n"])
        assert may_end.wait(LONG_S)

    with Proxy(patient.port) as proxy, RemoteEventBus(proxy.url, **QUICK) as client:
        client.subscribe("a.b", handle, name="lossy")
        event_id = publish(patient, "a.b", {"n": 1})
        wait_until(lambda: calls, "the handler runs")
        proxy.is_frozen = True
        may_end.set()
        threading.Event().wait(0.2)  # the answer is on its way into nothing
        proxy.cut()
        proxy.is_frozen = False
        assert finished(patient, event_id, "lossy")["attempt"] == 1
    assert calls == [1]


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_success_that_a_killed_server_did_not_record_is_told_to_the_next(server, client) -> None:
    calls: list[int] = []
    may_end = threading.Event()

    def handle(event: Event) -> None:
        calls.append(event["n"])
        assert may_end.wait(LONG_S)
        client.publish("a.effect")

    client.subscribe("a.b", handle, name="worker")
    event_id = publish(server, "a.b", {"n": 1})
    wait_until(lambda: calls, "the handler runs")
    server.kill9()
    may_end.set()
    server.start()
    assert finished(server, event_id, "worker")["attempt"] == 1
    assert calls == [1]
    assert len(everything(server, "a.effect")) == 1


def test_an_event_that_a_person_has_replayed_is_handled_once_more(server, client) -> None:
    recorder = Recorder()
    service = client.subscribe("a.b", recorder, name="worker")._service
    event_id = publish(server, "a.b", {"n": 1})
    finished(server, event_id, "worker")
    wait_until(lambda: not service._answers._successes, "the bus has confirmed the success")
    body = {"subscription": "worker", "reason": "again", "by": "ann"}
    answer = server.api.post("/api/deliveries/replay", body)
    assert answer.status == 202, answer.text
    recorder.wait_for(2)
    assert recorder.values("n") == [1, 1]


def test_a_half_open_connection_is_noticed_by_the_client(server) -> None:
    recorder = Recorder()
    with (
        Proxy(server.port) as proxy,
        RemoteEventBus(proxy.url, ping_every_s=0.2, **QUICK) as client,
    ):
        subscription = client.subscribe("a.b", recorder, name="patient")
        proxy.is_frozen = True
        wait_until(lambda: not subscription.is_ready, "the silence is noticed")
        proxy.is_frozen = False
        publish(server, "a.b", {"n": 1})
        recorder.wait_for(1)


def test_a_stream_without_a_name_has_no_hole_across_restarts_of_the_server(server, client) -> None:
    recorder = Recorder()
    subscription = client.subscribe("tick.*", lambda event: recorder(event))
    count = itertools.count()
    for _ in range(3):
        for _ in range(100):
            publish(server, "tick.a", {"n": next(count)}, subject="s")
        server.kill9()
        server.start()
        for _ in range(100):  # before it is back, most likely
            publish(server, "tick.a", {"n": next(count)}, subject="s")
        assert subscription.wait_ready(LONG_S)
    recorder.wait_for(600)
    assert recorder.values("n") == list(range(600))


def test_a_stream_with_a_slow_handler_keeps_a_bounded_number_of_events(server, client) -> None:
    may_go = threading.Event()
    handled: list[int] = []

    def handle(event: Event) -> None:
        assert may_go.wait(LONG_S)
        handled.append(event["n"])

    subscription = client.subscribe("tick.*", lambda event: handle(event), concurrency=1)
    for start in range(0, 6_000, 2_000):
        batch = [{"type": "tick.a", "subject": "s", "data": {"n": start + n}} for n in range(2_000)]
        assert server.api.post("/api/events", batch).status == 202
    service = subscription._service
    wait_until(lambda: service.link.socket._writer.is_closing(), "it gives the connection up")
    assert 1_000 <= service._count < 3_000
    may_go.set()
    wait_until(lambda: len(handled) == 6_000, "all are handled", 30)
    assert handled == list(range(6_000))


def test_consumers_in_several_processes_share_the_work(server) -> None:
    seen: dict[str, list[int]] = {"one": [], "two": []}
    meeting = threading.Barrier(2)

    def handler(who: str) -> Any:
        def handle(event: Event) -> None:
            if event["n"] < 2:
                meeting.wait(LONG_S)
            seen[who].append(event["n"])

        return handle

    with RemoteEventBus(server.url, **QUICK) as one, RemoteEventBus(server.url, **QUICK) as two:
        one.subscribe("a.b", handler("one"), name="shared", concurrency=1)
        two.subscribe("a.b", handler("two"), name="shared", concurrency=1)
        assert subscription(server, "shared")["consumers"] == 2
        for n in range(20):
            publish(server, "a.b", {"n": n}, subject=str(n))
        wait_until(lambda: subscription(server, "shared")["lag"] == 0, "all are handled")
    assert sorted(seen["one"] + seen["two"]) == list(range(20))
    assert seen["one"] and seen["two"]


def test_subscribing_while_the_bus_is_away_takes_effect_when_it_is_back(server, caplog) -> None:
    server.stop()
    recorder = Recorder()
    with RemoteEventBus(server.url, **QUICK) as client:
        subscription = client.subscribe("a.b", recorder, name="early")
        assert not subscription.is_ready
        server.start()
        assert subscription.wait_ready(LONG_S)
        publish(server, "a.b", {"n": 1})
        recorder.wait_for(1)
        assert len(messages(caplog, "is away for the subscription 'early'")) == 1
        assert len(messages(caplog, "is back for the subscription 'early'")) == 1


def test_a_name_of_the_bus_itself_is_refused_and_so_are_functions_of_a_script(client) -> None:
    with pytest.raises(SubscriptionError, match="served by the process of the bus itself"):
        client.subscribe("evaluation.*", Recorder(), name="evaluation")

    def handle(event: Event) -> None: ...

    handle.__module__, handle.__qualname__ = "__main__", "handle"
    with pytest.raises(SubscriptionError, match="name="):
        client.subscribe("a.b", handle)


def test_a_subscription_that_a_person_ends_is_not_taken_up_again(server, client, caplog) -> None:
    subscription = client.subscribe("a.b", Recorder(), name="ended")
    assert server.api.request("DELETE", "/api/subscriptions/ended?force=true").status == 200
    wait_until(lambda: messages(caplog, "is served no more"), "the client says so")
    assert not subscription.is_ready
    names = [s["name"] for s in server.api.get("/api/subscriptions").json["subscriptions"]]
    assert "ended" not in names
    client.unsubscribe(subscription)


def test_subscribing_in_a_coroutine_does_not_block_it(server) -> None:
    async def main() -> list[int]:
        got: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with RemoteEventBus(server.url, **QUICK) as bus:
            subscription = bus.subscribe(
                "a.b", lambda event: loop.call_soon_threadsafe(got.put_nowait, event["n"])
            )
            assert await asyncio.to_thread(subscription.wait_ready, LONG_S)
            await bus.publish("a.b", {"n": 5})
            return [await asyncio.wait_for(got.get(), LONG_S)]

    assert asyncio.run(main()) == [5]
    wait_until(lambda: not threads_named("eventbus-subscriptions"), "its thread has ended")
