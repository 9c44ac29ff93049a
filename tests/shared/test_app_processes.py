"""Two processes of the app on one log: what is done at one holds at the other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import Any

import pytest

from eventbus import EventBus
from tests.helpers.consumer_socket import ConsumerSocket
from tests.helpers.databases import schemas
from tests.helpers.people import Visitor, add_first, add_user, make_token, signed_in
from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.receivers import HttpReceiver
from tests.helpers.server import ServerProcess
from tests.helpers.stream_reader import StreamReader
from tests.helpers.waiting import wait_until

SOON_S = 10.0
"""Within which the others know: a notification, or the next look of the follower; far less, on a
machine that has nothing else to do."""
Start = Callable[[str], ServerProcess]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts processes of the app that share a log, by names."""
    top = tmp_path_factory.mktemp("shared")
    with schemas().lent() as url, ExitStack() as running:
        with EventBus.open(url) as bus:
            bus.publish("first.thing")  # an empty log is told of no start

        def start(name: str) -> ServerProcess:
            folder = top / name
            folder.mkdir()
            server = ServerProcess(
                folder, "tests.helpers.trouble:app", EVENTBUS_DATABASE_URL=url,
                EVENTBUS_FILES=str(top / "files"), EVENTBUS_MAX_ATTEMPTS="2",
                EVENTBUS_BACKOFF_FIRST_S="3600", EVENTBUS_BACKOFF_MAX_S="3600",
                EVENTBUS_WEBHOOK_NETWORKS="127.0.0.0/8", EVENTBUS_RETENTION="old.* keep 1h",
            )  # fmt: skip
            return running.enter_context(server)

        yield start


@pytest.fixture(scope="module")
def worker(start: Start) -> ServerProcess:
    """The one that works: it was there first."""
    server = start("worker")
    wait_until(lambda: works(server), "it works")
    return server


@pytest.fixture(scope="module")
def other(worker: ServerProcess, start: Start) -> ServerProcess:
    server = start("other")
    assert not works(server)
    return server


def works(server: ServerProcess) -> bool:
    found: bool = server.api.get("/readyz").json["process"]["works"]
    return found


def last_of(server: ServerProcess) -> int:
    sequence: int = server.api.get("/api/stats").json["sequence"]
    return sequence


def in_step(*servers: ServerProcess) -> int:
    """Wait until all are at the same end of the log; that sequence."""
    wait_until(lambda: len({last_of(server) for server in servers}) == 1, "all know the end")
    return last_of(servers[0])


def flood(server: ServerProcess, name: str, count: int) -> None:
    api = server.new_api()
    for number in range(count):
        body = {"type": "order.paid", "data": {"n": number}, "subject": f"{name}-{number % 5}"}
        assert api.post("/api/events", body).status == 202


def test_every_stream_is_the_same_whichever_process_it_is_on_and_whoever_publishes(
    worker: ServerProcess, other: ServerProcess
) -> None:
    after = in_step(worker, other)
    streams = [StreamReader(server, after=after) for server in (worker, other, worker, other)]
    for stream in streams:
        stream.connect()
    publishing = [
        threading.Thread(target=flood, args=(server, name, 60))
        for server, name in ((worker, "one"), (other, "two"))
    ]
    for thread in publishing:
        thread.start()
    # Two go on at the other process, in the middle of it.
    for stream, server in ((streams[2], other), (streams[3], worker)):
        stream.read_to(after + 20)
        stream.drop()
        streams.append(StreamReader(server, after=stream.position))
        streams[-1].events = stream.events
        streams[-1].connect()
    for thread in publishing:
        thread.join()
    last = in_step(worker, other)
    shown = [s for s in streams if s not in streams[2:4]]
    for stream in shown:
        stream.read_to(last)
        assert stream.sequences == list(range(after + 1, last + 1))
    assert len({json.dumps([event["id"] for event in stream.events]) for stream in shown}) == 1
    assert last - after >= 120


def test_the_live_page_of_each_has_the_same_counters_and_alerts(
    worker: ServerProcess, other: ServerProcess
) -> None:
    for server, id in ((worker, "e1"), (other, "e2"), (worker, "e3")):
        server.api.publish("evaluation.started", {"eval_id": id, "task": "t", "model": "m"})
    error = {"type": "RateLimitError", "message": "429", "severity": "critical"}
    other.api.publish("evaluation.failed", {"eval_id": "e2", "error": error})
    other.api.publish("evaluation.completed", {"eval_id": "e1", "result": {"accuracy": 1}})
    wanted = {"active": 1, "completed": 1, "failed": 1, "retrying": 1, "open_alerts": 1}
    with RawWebSocket(worker.port, "/live") as one, RawWebSocket(other.port, "/live") as two:
        for server, page in ((worker, one), (other, two)):
            wait_until(lambda: wanted.items() <= server.api.counters().items(), "it counts")  # noqa: B023
            read_until(page, "429")
        (alert,) = other.api.get("/api/alerts").json["alerts"]
        answer = other.api.post(f"/api/alerts/{alert['id']}/acknowledge", {"by": "ann"})
        assert answer.status in (200, 202), answer.text
        for page in (one, two):
            read_until(page, "ann")
    for server in (worker, other):
        (shown,) = server.api.get("/api/alerts").json["alerts"]
        assert (shown["state"], shown["by"]) == ("acknowledged", "ann")


def read_until(page: RawWebSocket, words: str) -> None:
    """Read a page's messages until one says something."""
    while True:
        message = page.receive()
        assert message is not None, f"the page never said {words!r}"
        if words in message.get("content", ""):
            return


def settled(server: ServerProcess) -> None:
    wait_until(
        lambda: all(
            each["lag"] == 0 for each in server.api.get("/api/subscriptions").json["subscriptions"]
        ),
        "all is handled",
    )


def check(server: ServerProcess) -> None:
    """The read models are what a fold of the whole log gives."""
    assert server.api.post("/api/rebuild", {"check": True}).status == 202
    done = wait_until(
        lambda: (found := server.api.get("/api/rebuild").json["rebuild"])
        and found["state"] in ("done", "stopped", "failed") and found,
        "the check has ended",
    )  # fmt: skip
    assert (done["state"], done["differences"]) == ("done", 0), done


def at(server: ServerProcess, known: Visitor) -> Visitor:
    """The same browser at another process, as if at the same address: behind a proxy it is."""
    visitor = Visitor(server)
    assert known.cookie is not None
    visitor.cookie = f"eventbus_session_{server.port}={known.cookie.partition('=')[2]}"
    return visitor


def has_ended(socket: Any) -> bool:
    try:
        socket.receive(0)
    except Exception:
        return True
    return not socket.connected


def by_who_serves(name: str, *servers: ServerProcess) -> list[ServerProcess]:
    """First the one that serves a subscription, when all have their share of the trouble."""

    def served(server: ServerProcess) -> list[str]:
        every = server.api.get("/api/subscriptions").json["subscriptions"]
        active = {each["name"] for each in every if each["is_active"]}
        return sorted(active & {"hang", "freeze", "sleep", "flaky"})

    wait_until(lambda: [len(served(server)) for server in servers] == [2, 2], "it is shared out")
    return sorted(servers, key=lambda server: name not in served(server))


def test_what_is_asked_of_the_one_that_does_not_serve_is_done(
    worker: ServerProcess, other: ServerProcess
) -> None:
    worker, other = by_who_serves("flaky", worker, other)
    api = other.api
    assert not subscription(worker, "flaky")["is_elsewhere"]
    for server in (worker, other):  # the server's own handlers are where the work is
        assert subscription(server, "evaluation")["is_active"] == works(server)
    # A receipt waits for handlers of the other process, whose figures are told here as well.
    receipt = api.publish("trouble.flaky", {"failures": 0}, subject="s")
    assert receipt["handled"], receipt
    shown = subscription(other, "flaky")
    assert (shown["state"], shown["is_active"]) == ("served", False)
    assert shown["p95_ms"] is not None
    assert "served by another process" in api.get("/handlers").text
    assert "Another process of the server serves it" in api.get("/handlers/flaky").text

    body = {"type": "trouble.flaky", "data": {"failures": 2}, "subject": "s"}
    letter = api.post("/api/events", body).json
    wait_until(lambda: subscription(other, "flaky")["retrying"] == 1, "it waits for an hour")
    key = {"sequence": letter["sequence"], "subscription": "flaky"}
    answer = api.post("/api/deliveries/retry", {"deliveries": [key], "by": "ann"})
    assert (answer.status, answer.json["retried"]) == (202, 1), answer.text
    wait_until(lambda: api.counters()["dead_letters"] == 1, "it was tried now, for the last time")
    answer = api.post("/api/deliveries/redrive", {"deliveries": [key], "by": "ann"})
    assert answer.status == 202, answer.text
    wait_until(lambda: api.counters()["dead_letters"] == 0, "it was redriven")

    assert api.post("/api/subscriptions/flaky/pause", {"by": "ann"}).status == 200
    wait_until(lambda: subscription(worker, "flaky")["state"] == "paused", "it holds there")
    held = api.post("/api/events", {"type": "trouble.flaky", "delay": 0.2}).json
    wait_until(lambda: subscription(worker, "flaky")["lag"] == 1, "what was due waits")
    assert subscription(worker, "flaky")["state"] == "paused"
    assert api.post("/api/subscriptions/flaky/resume", {"by": "ann"}).status == 200
    wait_until(lambda: subscription(other, "flaky")["lag"] == 0, "it goes on")
    counted = [e["data"]["of"] for e in found(other, "trouble.counted")]
    assert sorted(counted) == sorted([receipt["id"], letter["id"], held["id"]])


def test_the_page_of_an_import_at_another_process_asks_on_and_stops_it(
    worker: ServerProcess, other: ServerProcess
) -> None:
    token = "0123456789abcdef" * 2
    first = other.api.get(f"/events/transfers/{token}")
    assert "Another process of the server may be at it" in first.text
    lines = "".join(json.dumps({"type": "vendor.old", "id": f"i{n}"}) + "\n" for n in range(3))
    answer = worker.api.request(
        "POST", f"/api/events/import?token={token}", lines,
        {"Content-Type": "application/x-ndjson"},
    )  # fmt: skip
    assert answer.status == 200, answer.text
    assert 'data-state="finished"' in worker.api.get(f"/events/transfers/{token}", turn=4).text
    asked = other.api.get(f"/events/transfers/{token}", turn=4)
    assert (asked.headers["hx-retarget"], asked.headers["hx-reswap"]) == ("#ask-3", "outerHTML")
    assert 'id="ask-4"' in asked.text and "<p" not in asked.text
    assert other.api.post(f"/events/transfers/{token}/stop").status == 200


def test_types_webhooks_and_retention_of_one_are_those_of_the_other(
    worker: ServerProcess, other: ServerProcess
) -> None:
    schema = {"type": "object", "required": ["amount"], "additionalProperties": True}
    body = {"title": "Paid", "schema": schema, "mode": "enforce"}
    answer = other.api.request(
        "PUT", "/api/types/invoice.paid", json.dumps(body), {"Content-Type": "application/json"}
    )
    assert answer.status in (200, 201), answer.text
    bad = {"type": "invoice.paid", "data": {}}
    wait_until(
        lambda: worker.api.post("/api/events", bad).status == 400, "it is refused there", SOON_S
    )

    with HttpReceiver() as http:
        made = other.api.post(
            "/api/webhooks", {"name": "shop", "pattern": "shop.*", "url": f"{http.url}/in"}
        )
        assert made.status == 201, made.text
        wait_until(
            lambda: worker.api.get("/api/webhooks/shop").status == 200, "it is there", SOON_S
        )
        worker.api.post("/api/events", {"type": "shop.opened"})
        (taken,) = http.wait_for(1)
        assert json.loads(taken.body)["type"] == "shop.opened"
        ended = worker.api.request(
            "DELETE", "/api/webhooks/shop", "{}", {"Content-Type": "application/json"}
        )
        assert ended.status == 200, ended.text
        wait_until(lambda: other.api.get("/api/webhooks/shop").status == 404, "it is gone", SOON_S)

    asked = other.api.post("/api/retention", {"by": "ann"})
    assert asked.status == 202, asked.text
    wait_until(
        lambda: (run := worker.api.get("/api/storage").json["retention"]["last_run"])
        and run["by"] == "ann" and run["finished_at"],
        "the one that works has run it",
    )  # fmt: skip


def test_when_the_one_that_works_is_killed_another_does_and_nothing_is_lost_or_done_twice(
    worker: ServerProcess, other: ServerProcess
) -> None:
    acknowledged: list[str] = []

    def publish() -> None:
        api = worker.new_api()
        try:
            for number in range(10_000):
                if api.post("/api/events", task(f"w-{number}")).status == 202:
                    acknowledged.append(f"w-{number}")
        except (OSError, HTTPException):
            pass  # it was killed in the middle of it

    thread = threading.Thread(target=publish)
    thread.start()
    wait_until(lambda: len(acknowledged) > 30, "events come")
    worker.kill9()
    thread.join()
    for number in range(20):
        assert other.api.post("/api/events", task(f"o-{number}")).status == 202
    wait_until(lambda: works(other), "the other has taken over", SOON_S)
    settled(other)
    events = other.api.get("/api/events/export", type="queue.task.added").body.splitlines()
    ids = [json.loads(line)["id"] for line in events]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {*acknowledged, *(f"o-{number}" for number in range(20))}
    assert other.api.counters()["queue_depth"] == len(ids)
    check(other)
    worker.start()
    assert worker.api.counters() == other.api.counters()
    assert not works(worker), "who works goes on with it"
    started = found(other, "bus.started")[-1]["data"]
    assert (started["previous"], started["number"]) == ("crashed", 1), started


def test_what_consumers_at_another_process_serve_is_ended_by_force_alone(
    worker: ServerProcess, other: ServerProcess
) -> None:
    path = "/api/subscriptions/there"
    with ConsumerSocket(worker, "there", "there.*") as consumer:
        wait_until(lambda: subscription(worker, "there")["is_active"], "it is served", SOON_S)
        refused = other.api.request("DELETE", path)
        assert refused.status == 409
        assert "served by another process of the bus now" in refused.json["detail"]
        assert other.api.request("DELETE", f"{path}?force=true").status == 200
        assert consumer.wait_closed() == 4410, "who served it there is told"
    with ConsumerSocket(worker, "there", "there.*") as consumer:
        other.api.publish("there.again", {})
        consumer.ack(consumer.receive())
    assert other.api.request("DELETE", f"{path}?force=true").status == 200


def task(id: str) -> dict[str, Any]:
    return {"type": "queue.task.added", "id": id, "data": {"task_id": id}}


def test_who_signs_in_at_one_is_signed_in_at_the_other_and_loses_it_at_both(
    worker: ServerProcess, other: ServerProcess
) -> None:
    stranger = other.websocket("/api/stream")
    add_first(worker)
    wait_until(
        lambda: other.api.get("/api/stats").status == 401, "the door is closed there", SOON_S
    )
    wait_until(lambda: has_ended(stranger), "a stranger's socket is closed there", SOON_S)

    ada = signed_in(other)
    there = at(worker, ada)
    assert there.get("/events").status == 200
    add_user(worker, there, "vic", "viewer")
    vic = signed_in(other, "vic")
    token = make_token(ada, "ci", "publish")
    answer = worker.new_api().request(
        "POST", "/api/events", '{"type": "a.b"}',
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status == 202, answer.text

    vic_there = at(worker, vic)
    assert vic_there.get("/events").status == 200
    answer = there.post("/api/access/users/vic/disable", {})
    assert answer.status == 200, answer.text
    wait_until(lambda: vic.get("/events").status == 303, "vic is out there as well", SOON_S)
    assert ada.submit("/logout").status == 303
    wait_until(lambda: there.get("/events").status == 303, "ada is signed out there", SOON_S)


def subscription(server: ServerProcess, name: str) -> dict[str, Any]:
    every = server.api.get("/api/subscriptions").json["subscriptions"]
    return next((each for each in every if each["name"] == name), {"is_elsewhere": False})


def found(server: ServerProcess, type: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = server.api.get("/api/events", type=type, order="asc").json[
        "events"
    ]
    return events
