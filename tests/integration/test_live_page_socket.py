"""What the live page is sent: hello, rows, folds and panels, over a real socket."""

from __future__ import annotations

import resource
import sys
from collections import Counter

import pytest

from tests.helpers.live_page import ShownRows, receive_kind, receive_rows, targets
from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until
from tests.integration.test_disk_full import UNLIMITED, worker_of

PANELS = ["troubles", "counters", "alerts", "trends", "types", "active", "retries"]


def sequence_of(server: ServerProcess) -> int:
    sequence: int = server.api.get("/api/stats").json["sequence"]
    return sequence


def publish(server: ServerProcess, type: str, count: int) -> None:
    for start in range(0, count, 500):
        size = min(500, count - start)
        answer = server.api.post(
            "/api/events", [{"type": type, "data": {"n": n}} for n in range(size)]
        )
        assert answer.status == 202, answer.text


def test_the_first_message_greets(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live") as page:
        hello = page.receive()
    assert hello["kind"] == "hello"
    assert (hello["sequence"], hello["filled"], hello["restarted"]) == (0, None, False)
    assert hello["boot"]


def test_every_event_becomes_a_row_at_the_top(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live?type=a.*") as page:
        receive_kind(page, "hello")  # it is known from here on
        for n in range(3):
            server.api.post("/api/events", {"type": "a.b", "data": {"n": n}})
            server.api.post("/api/events", {"type": "other"})
        rows = receive_rows(page, upto=5)
    assert rows.sequences == [5, 3, 1]


def test_a_page_that_reconnects_is_filled_from_where_it_was(server: ServerProcess) -> None:
    publish(server, "a.b", 20)
    with RawWebSocket(server.port, "/live?after=12") as page:
        hello = page.receive()
        rows = receive_rows(page, upto=20)
    assert hello["filled"] == {"from": 13, "to": 20, "count": 8}
    assert rows.rows == list(range(20, 12, -1))


def test_a_long_absence_is_the_newest_rows_and_exact_counts(server: ServerProcess) -> None:
    publish(server, "a.b", 700)
    publish(server, "c.d", 450)
    with RawWebSocket(server.port, "/live?after=100") as page:
        hello = page.receive()
        behind = receive_kind(page, "behind")
    assert hello["filled"] == {"from": 101, "to": 1150, "count": 1050}
    assert (behind["sequence"], behind["count"], behind["skipped"]) == (1150, 1050, 850)
    assert behind["by_type"] == {"a.b": 600, "c.d": 250}
    rows = ShownRows(behind["content"])
    assert rows.sequences == list(range(1150, 950, -1))
    assert [(f.type, f.count, f.first, f.last) for f in rows.folds] == [
        ("c.d", 250, 701, 950), ("a.b", 600, 101, 700),
    ]  # fmt: skip


def test_a_restart_is_told_and_filled(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live") as page:
        boot = page.receive()["boot"]
        server.api.publish("a.b")
        receive_rows(page, upto=1)
        server.stop()
        while page.receive() is not None:  # a panel may have changed just before
            pass
        assert page.close_code == 1012
    server.start()
    server.api.publish("a.c")
    with RawWebSocket(server.port, f"/live?after=1&boot={boot}") as page:
        hello = page.receive()
        rows = receive_rows(page, upto=4)
    assert hello["restarted"] is True
    assert hello["boot"] != boot
    # Also that the bus has stopped and started.
    assert hello["filled"] == {"from": 2, "to": 4, "count": 3}
    assert rows.sequences == [4, 3, 2]
    with RawWebSocket(server.port, f"/live?after=4&boot={hello['boot']}") as page:
        assert page.receive()["restarted"] is False


def test_a_flood_folds_with_exact_counts_and_keeps_failures(server: ServerProcess) -> None:
    batch = [
        *(
            {"type": "queue.task.added", "data": {"queue": "q", "task_id": f"t{n}"}}
            for n in range(150)
        ),
        {"type": "job.failed"},
        *({"type": "monitoring.tick"} for _ in range(349)),
    ]
    with RawWebSocket(server.port, "/live") as page:
        receive_kind(page, "hello")
        for _ in range(4):
            server.api.post("/api/events", batch)
        rows = receive_rows(page, upto=sequence_of(server))
    counts: Counter[str] = Counter()
    for fold in rows.folds:
        counts[fold.type] += fold.count
        assert fold.count <= fold.last - fold.first + 1
    shown = rows.sequences
    assert len(shown) == len(set(shown))
    assert sum(counts.values()) + len(shown) == 2000
    assert counts["queue.task.added"] <= 600
    failed = server.api.get("/api/events", type="job.failed").json["events"]
    assert {event["sequence"] for event in failed} <= set(shown)
    assert len(rows.rows) < 300


def test_a_fold_opens_to_exactly_what_it_counted(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live") as page:
        receive_kind(page, "hello")
        server.api.post("/api/events", [{"type": "a.b"}, {"type": "c.d"}] * 80)
        rows = receive_rows(page, upto=160)
    fold = next(fold for fold in rows.folds if fold.type == "a.b")
    answer = server.api.get("/live/rows", type=fold.type, after=fold.first - 1, upto=fold.last)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    opened = ShownRows(answer.text)
    assert len(opened.sequences) == fold.count == 80
    assert opened.sequences == list(range(159, 0, -2))


def test_rows_of_a_gap_are_the_same_as_the_socket_would_have_sent(server: ServerProcess) -> None:
    publish(server, "a.b", 30)
    assert ShownRows(server.api.get("/live/rows", after=10, upto=15).text).rows == [
        15,
        14,
        13,
        12,
        11,
    ]
    assert ShownRows(server.api.get("/live/rows").text).sequences == list(range(30, 0, -1))
    assert server.api.get("/live/rows", after=30).text == ""
    publish(server, "a.b", 400)
    long = ShownRows(server.api.get("/live/rows", after=0, upto=430).text)
    assert (len(long.sequences), [fold.count for fold in long.folds]) == (200, [230])


def test_a_new_page_gets_all_panels_and_then_only_those_that_changed(
    server: ServerProcess,
) -> None:
    with RawWebSocket(server.port, "/live") as page:
        assert targets(receive_kind(page, "panels")) == PANELS
        with RawWebSocket(server.port, "/live?type=x.*") as second:
            assert targets(receive_kind(second, "panels")) == PANELS
        server.api.publish("evaluation.started", {"eval_id": "run-1"})
        while "active" not in targets(panels := receive_kind(page, "panels")):
            pass
        assert "alerts" not in targets(panels)
        assert "run-1" in panels["content"]
        server.api.publish("alert.critical", {"service": "gpu", "error": "it burns"})
        while "alerts" not in targets(panels := receive_kind(page, "panels")):
            pass
        assert "it burns" in panels["content"]


def test_a_page_that_comes_later_gets_the_panels_of_now(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live") as page:
        receive_kind(page, "panels")
    server.api.publish("evaluation.started", {"eval_id": "run-2"})
    with RawWebSocket(server.port, "/live") as page:
        # What was being rendered for the one before may come first, and then what has changed.
        while "run-2" not in receive_kind(page, "panels")["content"]:
            pass


def test_markup_in_an_event_is_shown_as_text(server: ServerProcess) -> None:
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">'
    with RawWebSocket(server.port, "/live") as page:
        receive_kind(page, "hello")
        server.api.publish(
            "evaluation.failed",
            {"eval_id": evil, "error": {"type": evil, "message": evil, "severity": "critical"}},
            source="/<b>",
            subject=evil,
        )
        end = wait_until(lambda: sequence_of(server), "it is recorded")
        rows = receive_rows(page, upto=end)
        panels = receive_kind(page, "panels")
        while "alerts" not in targets(panels) or "script" not in panels["content"]:
            panels = receive_kind(page, "panels")
    assert "<script>alert(1)</script>" in rows.text
    for shown in (rows, ShownRows(panels["content"])):
        assert not shown.tags & {"script", "img"}, shown.tags


def test_a_pattern_that_matches_nothing_is_told_the_position(server: ServerProcess) -> None:
    with RawWebSocket(server.port, "/live?type=nothing.here") as page:
        receive_kind(page, "hello")
        publish(server, "a.b", 10)
        while (message := receive_kind(page, "rows"))["sequence"] < 10:
            pass
        assert message == {"kind": "rows", "sequence": message["sequence"], "count": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit(2)")
def test_a_disk_that_is_full_is_told_on_the_page_until_it_is_not(server: ServerProcess) -> None:
    worker = worker_of(server)
    with RawWebSocket(server.port, "/live") as page:
        receive_kind(page, "panels")
        largest = max(file.stat().st_size for file in server.directory.glob("events.db*"))
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (largest + 16_384, resource.RLIM_INFINITY))
        body = {"type": "a.b", "data": {"text": "x" * 200_000}}
        while server.api.post("/api/events", body).status == 202:
            pass
        while "nothing was recorded" not in (panels := receive_kind(page, "panels"))["content"]:
            pass
        assert "troubles" in targets(panels)
        assert "nothing was recorded" in server.api.get("/").text
        resource.prlimit(worker, resource.RLIMIT_FSIZE, UNLIMITED)
        while "troubles" not in targets(panels := receive_kind(page, "panels")):
            pass
        assert "nothing was recorded" not in panels["content"]
