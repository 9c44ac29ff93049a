"""The soak's judgement: it sees holes, duplicates, growth, lag and miscounts, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.demo.messages import Books
from bench.soak.frames import Decision, Reading, frames, pong
from bench.soak.latency import Latencies
from bench.soak.listener import Listener
from bench.soak.verdict import Bounds, count_problems, lag_problems, memory_problems
from bench.soak.watch import Logged, logged
from bench.soak.watch import Reading as Look

BOUNDS = Bounds(growth_mib=32.0, rss_mib=250.0, rate=100.0)
QUIET = Logged(0, 0, 0, ())


def stream_message(sequences: list[int], position: int) -> bytes:
    events = [{"sequence": number, "type": "a.b", "data": {}} for number in sequences]
    return json.dumps({"events": events, "sequence": position}).encode()


def problems_of(kind: str, *texts: bytes) -> list[str]:
    listener = Listener("socket 1", kind, 0, Reading())
    for text in texts:
        listener.take(text, 0.0)
    return listener.problems


def test_a_stream_that_goes_on_where_it_was_has_no_problem() -> None:
    texts = [stream_message([1, 2], 2), stream_message([], 2), stream_message([3], 3)]
    assert problems_of("stream", *texts) == []


@pytest.mark.parametrize(
    ("sequences", "position", "problem"),
    [
        ([4], 4, "a hole"),
        ([2, 3], 3, "a duplicate"),
        ([4, 3], 4, "wrong sequences"),
        ([], 3, "a hole"),
        ([3, 3], 4, "wrong sequences"),
    ],
)
def test_a_stream_that_leaves_out_repeats_or_swaps_is_found_out(
    sequences: list[int], position: int, problem: str
) -> None:
    found = problems_of("stream", stream_message([1, 2], 2), stream_message(sequences, position))
    assert len(found) == 1
    assert found[0].startswith(f"socket 1 {problem}")


def test_a_page_is_judged_by_its_counts() -> None:
    hello = b'{"kind": "hello", "sequence": 0}'
    first = b'{"kind": "rows", "sequence": 10, "count": 10, "content": ""}'
    behind = b'{"kind": "behind", "sequence": 50, "count": 40, "skipped": 30}'
    assert problems_of("page", hello, first, behind) == []
    assert "a hole: 40 events" in problems_of("page", hello, first, behind.replace(b"50", b"51"))[0]


def test_decisions_about_failed_evaluations_are_heard_from_the_stream() -> None:
    data = {"eval_id": "e1", "retry_count": 2}
    event = {"sequence": 1, "type": "evaluation.retry", "data": data}
    text = json.dumps({"events": [event], "sequence": 1}).encode()
    heard: list[Decision] = []
    Listener("s", "stream", 0, Reading(), heard.append).take(text, 0.0)
    assert heard == [Decision("retry", "e1", 2)]


def test_frames_are_taken_whole_whatever_the_network_cuts() -> None:
    long = b"x" * 70_000
    wire = bytes([0x81, 2]) + b"ab" + bytes([0x89, 0])
    wire += bytes([0x01, 126]) + (300).to_bytes(2) + b"y" * 300
    wire += bytes([0x80, 127]) + len(long).to_bytes(8) + long
    expected = [(1, b"ab", True), (9, b"", True), (1, b"y" * 300, False), (0, long, True)]
    for size in (1, 7, len(wire)):
        data, found = bytearray(), []
        for start in range(0, len(wire), size):
            data += wire[start : start + size]
            found += list(frames(data))
        assert found == expected
        assert not data


def test_a_pong_is_masked_and_says_what_the_ping_said() -> None:
    frame = pong(b"hello")
    assert frame[:2] == bytes([0x8A, 0x85])
    assert bytes(byte ^ frame[2 + index % 4] for index, byte in enumerate(frame[6:])) == b"hello"


def look(at_s: float, rss_mib: float, lag: int = 0) -> Look:
    return Look(at_s, rss_mib, 1.0, 1.0, 10, 10, 1.0, 2.0, {"evaluation": lag})


def test_memory_may_grow_until_it_has_settled_and_not_after() -> None:
    warming = [look(10.0 * n, 50.0 + min(n, 30)) for n in range(1, 100)]
    assert memory_problems(warming, BOUNDS) == []
    leaking = [look(10.0 * n, 50.0 + n) for n in range(1, 100)]
    assert memory_problems(leaking, BOUNDS)[0].startswith("memory grew by 67 MiB from 300 s")
    late = [look(10.0 * n, 50.0 + max(0, n - 60) * 0.6) for n in range(1, 100)]
    (problem,) = memory_problems(late, BOUNDS)
    assert problem.startswith("memory grew by 22 MiB from 500 s"), problem
    assert "reached 300 MiB" in memory_problems([look(10.0, 300.0)], BOUNDS)[0]
    assert memory_problems([], BOUNDS)


def test_a_subscription_more_than_ten_seconds_behind_is_a_problem() -> None:
    assert lag_problems([look(10.0, 50.0, 1_000)], BOUNDS) == []
    assert "1,001 events behind at 10 s" in lag_problems([look(10.0, 50.0, 1_001)], BOUNDS)[0]


def test_counters_have_to_be_what_the_producer_said() -> None:
    books = Books(completed=3, failed=2, exhausted=1)
    right = {"completed": 3, "failed": 2, "exhausted": 1, "dead_letters": 4, "active": 9}
    assert count_problems(books, 4, right, 4, QUIET) == []
    (problem,) = count_problems(books, 4, {**right, "failed": 3}, 4, QUIET)
    assert problem == "the counter failed is 3, the producer knows of 2"
    assert count_problems(books, 4, right, 3, QUIET) == ["3 dead letters, not 4"]


def test_expected_dead_letters_are_no_errors_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text(
        "2026-11-25 ERROR eventbus.dispatcher: evaluation failed for x, attempt 1 of 5, "
        "dead letter: MalformedEventError: no\n"
        "2026-11-25 WARNING eventbus.dispatcher: x failed, attempt 1 of 5, will be retried\n"
        "2026-11-25 ERROR eventbus.log: nothing of 1 units was recorded\n"
        "Event Bus is live at http://127.0.0.1:1/\n"
    )
    found = logged(path)
    assert (found.dead_letters, found.warnings, found.errors) == (1, 1, 1)
    assert len(found.lines) == 2


def test_latencies_are_counted_by_the_millisecond() -> None:
    latencies = Latencies()
    for ms in range(1, 101):
        latencies.add(ms / 1_000)
    assert (latencies.percentile_ms(50), latencies.percentile_ms(99)) == (50.0, 99.0)
    assert latencies.take_recent() == (50.0, 99.0)
    assert latencies.take_recent() == (None, None)
    assert latencies.count == 100
