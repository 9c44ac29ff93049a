"""Chunks become as large as the time for one allows."""

from __future__ import annotations

from eventbus.log.removals import Candidate
from eventbus.retention.chunk import ChunkSize


def after(chunk: ChunkSize, per_event_s: float, commit_s: float, rounds: int = 60) -> float:
    """How long a chunk works once it has learnt."""
    worked_s = 0.0
    for _ in range(rounds):
        worked_s = chunk.count * per_event_s
        chunk.took(worked_s, worked_s + commit_s)
    return worked_s


def test_a_chunk_takes_some_milliseconds_on_a_fast_and_on_a_slow_machine() -> None:
    for per_event_s in (0.000_02, 0.000_2, 0.002):
        assert 0.004 < after(ChunkSize(), per_event_s, 0.001) + 0.001 < 0.011


def test_a_disk_that_is_slow_for_every_commit_does_not_make_chunks_tiny() -> None:
    chunk = ChunkSize()
    assert after(chunk, 0.000_05, 0.04) > 0.001
    assert chunk.longest_s > 0.04


def test_a_server_that_is_far_for_every_statement_does_not_make_chunks_tiny() -> None:
    chunk = ChunkSize(is_on_server=True)
    for _ in range(60):
        chunk.took(0.03, 0.04)
    assert chunk.count >= 20
    for _ in range(60):
        chunk.took(0.006, 0.009)
    assert chunk.count > 100


def test_large_payloads_make_a_chunk_of_fewer_events_but_at_least_one() -> None:
    chunk = ChunkSize()
    small = [Candidate(n, "a.b", 10) for n in range(100)]
    large = [Candidate(n, "a.b", 20_000) for n in range(100)]
    assert len(chunk.take(small)[0]) > 4 * len(chunk.take(large)[0])
    huge = [Candidate(1, "a.b", 10_000_000), *small]
    first, rest = chunk.take(huge)
    assert len(first) == 1 and len(rest) == 100
