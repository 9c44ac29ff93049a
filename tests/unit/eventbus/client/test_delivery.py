"""What RemoteEventBus sends: order, batches, time-outs, a bus that goes and comes back."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from eventbus import RemoteEventBus
from eventbus.errors import (
    EventDroppedError,
)
from tests.helpers.clients import balance, messages
from tests.helpers.waiting import wait_until, within


def test_published_events_arrive_in_order_as_cloudevents(bus, connect) -> None:
    client = connect(bus.url, source="/tests")
    for n in range(500):
        client.publish("queue.task.added", {"n": n}, subject="s")
    client.publish(
        "a.b", id="own", source="/other", time="2026-11-24T09:30:00Z", correlationid="c",
        causationid="d", dataschema="e", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        extensions={"shard": 3},
    )  # fmt: skip
    assert client.flush(10)
    assert [event["data"].get("n") for event in bus.events] == [*range(500), None]
    assert {event["source"] for event in bus.events[:-1]} == {"/tests"}
    last = bus.events[-1]
    assert (last["id"], last["source"], last["subject"]) == ("own", "/other", "a.b")
    assert (last["correlationid"], last["causationid"], last["dataschema"]) == ("c", "d", "e")
    assert last["time"] == "2026-11-24T09:30:00.000000Z"
    assert last["shard"] == 3
    assert bus.content_types == {"application/cloudevents-batch+json"}
    assert set(bus.paths) == {"/api/events"}
    assert balance(client) == (501, 501, 0, 0, 0)


def test_events_travel_in_batches_of_the_size_asked_for(bus, connect) -> None:
    client = connect(bus.url, batch_size=50, linger_s=5.0)
    for _ in range(120):
        client.publish("a.b")
    bus.wait_for_batches(2)
    assert client.flush(10)
    assert [len(batch) for batch in bus.batches] == [50, 50, 20]


def test_a_batch_does_not_grow_beyond_what_a_bus_accepts_in_one_request(bus, connect) -> None:
    client = connect(bus.url)
    bus.hold()
    for _ in range(12):
        client.publish("a.b", {"text": "x" * 200_000})
    bus.release()
    assert client.flush(10)
    assert len(bus.events) == 12
    assert max(len(batch) for batch in bus.batches) <= 4


def test_a_path_in_the_url_is_kept(bus, connect) -> None:
    client = connect(bus.url + "/under/here/")
    client.publish("a.b")
    assert client.flush(10)
    assert bus.paths == ["/under/here/api/events"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://h/?a=b",
        "http://u:secret@h",
        "http://h:x",
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RemoteEventBus(url)
    assert "secret" not in str(caught.value)


def test_publishing_never_waits_for_a_bus_that_hangs(bus, connect) -> None:
    bus.hold()
    client = connect(bus.url, timeout_s=30.0)
    slowest = 0.0
    for _ in range(2_000):
        started = time.perf_counter()
        client.publish("a.b", {"x": "y" * 100})
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < within(2.0)
    assert client.stats.sent == 0
    bus.release()
    assert client.flush(10)
    assert len(bus.events) == 2_000


def test_nothing_is_lost_nor_doubled_while_the_bus_is_away(bus, connect, caplog) -> None:
    client = connect(bus.url)
    sent = [client.publish("a.b", {"n": 0}).event.id]
    assert client.flush(10)
    bus.stop()
    sent += [client.publish("a.b", {"n": n}).event.id for n in range(1, 700)]
    wait_until(lambda: messages(caplog, "is away"), "the client says that the bus is away")
    assert not client.flush(0.2)
    bus.start()
    assert client.flush(10)
    assert bus.ids == sent
    assert balance(client) == (700, 700, 0, 0, 0)
    (away,) = messages(caplog, "is away")
    (back,) = messages(caplog, "is back")
    assert bus.url in away
    assert "0 were dropped" in back
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_bus_that_does_not_answer_in_time_gets_the_batch_again(bus, connect, caplog) -> None:
    bus.hold()
    client = connect(bus.url, timeout_s=0.1)
    client.publish("a.b")
    bus.wait_for_batches(2)
    assert "did not answer in time" in messages(caplog, "is away")[0]
    bus.release()
    assert client.flush(10)
    assert len(bus.events) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(bus, connect, caplog) -> None:
    client = connect(bus.url)
    client.publish("a.b")
    assert client.flush(10)
    bus.stop()
    bus.start()
    client.publish("a.b")
    assert client.flush(10)
    assert len(bus.events) == 2
    assert not caplog.records


def test_a_full_queue_drops_the_oldest_counts_them_and_says_so_once(bus, connect, caplog) -> None:
    bus.stop()
    client = connect(bus.url, max_pending=100, batch_size=20)
    receipts = [client.publish("a.b", {"n": n}) for n in range(1_000)]
    assert client.stats.pending == 100
    wait_until(lambda: messages(caplog, "are dropped from now on"), "it says that it drops")
    receipts += [client.publish("a.b", {"n": n}) for n in range(1_000, 1_050)]
    bus.start()
    assert client.flush(10)
    assert balance(client) == (1_050, 100, 950, 0, 0)
    arrived = [event["data"]["n"] for event in bus.events]
    assert arrived == sorted(arrived)
    assert arrived[-80:] == list(range(970, 1_050))  # all but what was on its way are the newest
    (dropping,) = messages(caplog, "are dropped from now on")
    (back,) = messages(caplog, "is back")
    assert "950 were dropped" in back
    dropped = next(r for r in receipts if not r.is_recorded)
    with pytest.raises(EventDroppedError, match="no room"):
        dropped.wait(1)


def test_the_queue_is_bounded_in_bytes_too(bus, connect) -> None:
    bus.stop()
    client = connect(bus.url, max_pending_bytes=1_000_000)
    for _ in range(50):
        client.publish("a.b", {"text": "x" * 100_000})
    assert client.stats.pending == 9
    assert balance(client)[2] == 41


def test_many_threads_may_publish_at_once(bus, connect) -> None:
    client = connect(bus.url)

    def publish(worker: int) -> None:
        for n in range(300):
            client.publish("a.b", {"worker": worker, "n": n})

    threads = [threading.Thread(target=publish, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(10)
    for worker in range(8):
        mine = [e["data"]["n"] for e in bus.events if e["data"]["worker"] == worker]
        assert mine == list(range(300))


def test_flushing_does_not_wait_for_the_next_attempt(bus, connect, caplog) -> None:
    bus.stop()
    client = connect(bus.url, backoff_first_s=60.0, backoff_max_s=60.0)
    client.publish("a.b")
    wait_until(lambda: messages(caplog, "is away"), "the first attempt has failed")
    bus.start()
    assert client.flush(10)


def test_a_client_that_publishes_nothing_starts_nothing() -> None:
    before = set(threading.enumerate())
    client = RemoteEventBus("http://127.0.0.1:1")
    assert set(threading.enumerate()) <= before
    assert client.close(1)
