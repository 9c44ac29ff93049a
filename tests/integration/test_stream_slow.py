"""A client that does not read costs nobody anything, and has everything once it reads again."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess
from tests.helpers.stream_reader import StreamReader
from tests.helpers.waiting import within

SMALL_BUFFER = 16 * 1024
BATCHES, BATCH = 60, 50
MORE_THAN_FITS = 8 * 1024 * 1024
FAILURE = {"type": "flood.failed", "subject": "s" * 1000}
PAYLOAD = "x" * 4000  # 12 MB in all: far more than kernel and backlog of a client hold


def publish_flood(server: ServerProcess) -> int:
    """Publish more than a stuck client can be sent; gives the last sequence."""
    for batch in range(BATCHES):
        events = [
            {"type": "flood.event", "data": {"n": batch * BATCH + n, "text": PAYLOAD}}
            for n in range(BATCH)
        ]
        answer = server.api.post("/api/events", events)
        assert answer.status == 202, answer.text
    return server.api.get("/api/stats").json["sequence"]


def test_a_stuck_stream_holds_up_nobody_and_catches_up_without_a_hole(
    server: ServerProcess,
) -> None:
    stuck, other = StreamReader(server), StreamReader(server)
    stuck.connect(receive_buffer=SMALL_BUFFER)
    other.connect()
    assert stuck.read_frame()
    end = publish_flood(server)
    other.read_to(end)
    assert other.sequences == list(range(1, end + 1))
    assert stuck.position == 0

    server.api.publish("while.stuck")
    stuck.read_to(end)
    last = server.api.get("/api/stats").json["sequence"]
    stuck.read_to(last)
    assert stuck.sequences == list(range(1, last + 1))

    server.api.publish("live.again")
    newest = server.api.get("/api/stats").json["sequence"]
    stuck.read_to(newest)
    assert stuck.events[-1]["type"] == "live.again"


def test_many_stuck_clients_do_not_slow_down_a_reading_one(server: ServerProcess) -> None:
    stuck = [
        RawWebSocket(server.port, path, SMALL_BUFFER)
        for path in ("/api/stream", "/live?type=flood.*", "/live", "/api/stream?type=flood.*") * 5
    ]
    other = StreamReader(server)
    other.connect()
    end = publish_flood(server)
    other.read_to(end)
    delays = []
    for n in range(20):
        started = time.monotonic()
        sequence = server.api.post("/api/events", {"type": "ping", "data": {"n": n}}).json[
            "sequence"
        ]
        other.read_to(sequence)
        delays.append(time.monotonic() - started)
    assert sorted(delays)[10] < within(0.5), delays
    for ws in stuck:
        ws.drop()


def test_a_stuck_page_is_caught_up_with_exact_counts(server: ServerProcess) -> None:
    with (
        RawWebSocket(server.port, "/live?type=flood.*", SMALL_BUFFER) as page,
        RawWebSocket(server.port, "/live?type=flood.*") as reader,
    ):
        assert page.receive()["kind"] == "hello"
        published, last, sent = 0, 0, 0
        # A tick's folds are small; failures stay rows. What a reading page gets tells when the
        # stuck one has been sent more than kernel and backlog hold.
        while sent < MORE_THAN_FITS:
            answer = server.api.post("/api/events", [FAILURE] * BATCH)
            assert answer.status == 202, answer.text
            published, last = published + BATCH, answer.json["events"][-1]["sequence"]
            position = 0
            while position < last:
                message = reader.receive()
                assert message is not None, "the reading page was cut off"
                sent += len(message.get("content") or "")
                position = message.get("sequence", position)  # panels have none
        messages: list[dict[str, Any]] = []
        while not messages or messages[-1]["sequence"] < last:
            message = page.receive()
            assert message is not None, "the page was not caught up"
            if message["kind"] in ("rows", "behind"):
                messages.append(message)
    assert sum(message["count"] for message in messages) == published
    behind = [message for message in messages if message["kind"] == "behind"]
    assert behind, "it was never too slow"
    for message in behind:
        assert message["skipped"] == sum(message["by_type"].values())


def test_the_memory_for_stuck_clients_is_bounded(server: ServerProcess) -> None:
    stuck = [RawWebSocket(server.port, "/api/stream", SMALL_BUFFER) for _ in range(4)]
    publish_flood(server)
    before = resident_mib(server.pid)
    for _ in range(8):
        publish_flood(server)
    # 100 MB more went by for each of the four. SQLite's own cache grows to 64 MiB meanwhile.
    assert resident_mib(server.pid) - before < 100
    for ws in stuck:
        ws.drop()


def resident_mib(arbiter_pid: int) -> float:
    """Memory of the server's process and its worker."""
    pids = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(arbiter_pid), "--ppid", str(arbiter_pid)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    return sum(int(value) for value in pids) / 1024
