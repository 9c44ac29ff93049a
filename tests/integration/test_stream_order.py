"""The stream that a program sees has no hole and no duplicate, whatever happens on the way."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

import pytest

from eventbus import Pattern
from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess
from tests.helpers.stream_reader import StreamReader

TYPES = ("evaluation.progress", "queue.task.added", "monitoring.metric.recorded", "other")


def log_sequences(server: ServerProcess, pattern: str = "#") -> list[int]:
    """What the log itself has."""
    sequences: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"type": pattern, "order": "asc", "limit": 500}
        page = server.api.get("/api/events", **query, **({"cursor": cursor} if cursor else {})).json
        sequences += [event["sequence"] for event in page["events"]]
        cursor = page["next"]
    return sequences


def event_of(thread: int, n: int) -> dict[str, Any]:
    return {
        "type": TYPES[n % len(TYPES)],
        "id": f"{thread}-{n}",
        "data": {"eval_id": f"e{thread}", "queue": "q", "task_id": f"{thread}-{n}", "metric": "m",
                 "value": n, "done": n, "total": 1000},
    }  # fmt: skip


@contextmanager
def publishers(server: ServerProcess, count: int, batches: int) -> Iterator[None]:
    """Threads that publish ``batches`` times 1 to 20 events each, through restarts too."""

    def publish(thread: int) -> None:
        chance = random.Random(thread)
        api, n = server.new_api(), 0
        for _ in range(batches):
            size = chance.randint(1, 20)
            batch = [event_of(thread, n + i) for i in range(size)]
            while True:
                try:
                    answer = api.post("/api/events", batch)
                except (OSError, HTTPException):
                    stopped.wait(0.05)  # the server is away; the ids make it safe to send again
                    continue
                if answer.status in (200, 202):
                    break
                assert answer.status == 503, answer.text
                stopped.wait(0.05)
            n += size

    stopped = threading.Event()
    threads = [threading.Thread(target=publish, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def read_with_breaks(server: ServerProcess, reader: StreamReader, is_done: threading.Event) -> None:
    """Read like a program on a bad network: connections that last a few frames."""
    chance = random.Random(7)
    while True:
        was_done = is_done.is_set()
        try:
            reader.connect()
            for _ in range(chance.randint(1, 12)):
                if not reader.read_frame(timeout_s=0.5):
                    break
        except OSError:
            is_done.wait(0.05)  # the server is away
        finally:
            reader.drop()
        if was_done and reader.position >= server.new_api().get("/api/stats").json["sequence"]:
            return


def test_a_stream_begins_now_unless_it_says_where(server: ServerProcess) -> None:
    server.api.publish("before")
    with RawWebSocket(server.port, "/api/stream") as ws:
        first = ws.receive()
        assert first == {"events": [], "sequence": first["sequence"]}
        server.api.post("/api/events", {"type": "after", "data": {"n": 1}})
        frame = ws.receive()
    assert [event["type"] for event in frame["events"]] == ["after"]
    assert frame["sequence"] == frame["events"][0]["sequence"] > first["sequence"]
    assert frame["events"][0]["specversion"] == "1.0"
    assert frame["events"][0]["data"] == {"n": 1}


def test_the_whole_log_comes_from_zero_on_in_many_frames(server: ServerProcess) -> None:
    events = [{"type": "big", "data": {"text": "x" * 2000, "n": n}} for n in range(1500)]
    for start in range(0, 1500, 500):
        server.api.post("/api/events", events[start : start + 500])
    reader = StreamReader(server)
    reader.connect()
    reader.read_to(1500)
    assert [event["data"]["n"] for event in reader.events] == list(range(1500))
    assert reader.sequences == list(range(1, 1501))


def test_reconnecting_at_random_under_load_leaves_no_hole_and_no_duplicate(
    server: ServerProcess,
) -> None:
    readers = [StreamReader(server), StreamReader(server, "evaluation.*"), StreamReader(server)]
    is_done = threading.Event()
    threads = [
        threading.Thread(target=read_with_breaks, args=(server, reader, is_done))
        for reader in readers[:2]
    ]
    steady = readers[2]
    steady.connect()
    with publishers(server, count=4, batches=60):
        for thread in threads:
            thread.start()
    is_done.set()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    everything = log_sequences(server)
    steady.read_to(everything[-1])
    assert len(everything) > 1000
    assert readers[0].sequences == everything
    assert steady.sequences == everything
    assert readers[1].sequences == log_sequences(server, "evaluation.*")


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_a_restart_of_the_server_leaves_no_hole_and_no_duplicate(
    server: ServerProcess, end: str
) -> None:
    reader = StreamReader(server)
    is_done = threading.Event()
    thread = threading.Thread(target=read_with_breaks, args=(server, reader, is_done))
    with publishers(server, count=3, batches=40):
        thread.start()
        for sequence in (200, 400):
            StreamReader(server).connect()
            wait_for_sequence(server, sequence)
            getattr(server, end)()
            server.start()
    is_done.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    everything = log_sequences(server)
    assert len(everything) > 400
    assert reader.sequences == everything


def wait_for_sequence(server: ServerProcess, sequence: int) -> None:
    watcher = StreamReader(server, "nothing.matches")
    watcher.connect()
    watcher.read_to(sequence)
    watcher.drop()


@pytest.mark.parametrize(
    "text", ["evaluation.*", "*.task.added", "#.recorded", "other", "+", "a.b"]
)
def test_a_pattern_gets_what_matches_and_the_position_for_all_the_rest(
    shared_server: ServerProcess, text: str
) -> None:
    start = shared_server.api.get("/api/stats").json["sequence"]
    live = StreamReader(shared_server, text, after=start)
    live.connect()
    for n in range(8):
        shared_server.api.post("/api/events", event_of(start, n))
    end = shared_server.api.get("/api/stats").json["sequence"]
    live.read_to(end)
    later = StreamReader(shared_server, text, after=start)
    later.connect()
    later.read_to(end)
    assert live.sequences == later.sequences
    sequences = [n for n in log_sequences(shared_server, text) if start < n <= end]
    assert live.sequences == sequences
    assert all(Pattern(text).matches(event["type"]) for event in live.events)


def test_many_streams_that_join_under_load_all_get_everything(server: ServerProcess) -> None:
    readers = [StreamReader(server) for _ in range(20)]
    with publishers(server, count=3, batches=30):
        for reader in readers:
            reader.connect()
            assert reader.read_frame()
    everything = log_sequences(server)
    for reader in readers:
        reader.read_to(everything[-1])
        assert reader.sequences == everything


def test_a_stream_that_was_read_to_the_end_costs_nothing_more(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    server.api.publish("one")
    end = server.api.get("/api/stats").json["sequence"]
    with RawWebSocket(server.port, f"/api/stream?after={end}") as ws:
        assert ws.receive() == {"events": [], "sequence": end}
        assert ws.receive(timeout_s=1.5) is None
        assert ws.close_code is None
