"""Which answers a consumer still has when the bus asks again."""

from __future__ import annotations

import pytest

from eventbus.client import answers
from eventbus.client.answers import Answers

EVENT, OTHER = ("/s", "1"), ("/s", "2")


@pytest.fixture
def kept() -> Answers:
    kept = Answers()
    kept.begin("session-1", [])
    return kept


def test_a_success_is_found_for_the_same_delivery_and_after_a_restart_of_the_bus(kept) -> None:
    kept.keep(1, EVENT, "ack", ',"events":[]')
    assert kept.find(1, EVENT).frame(1) == '{"ack":1,"events":[]}'
    kept.begin("session-2", [])
    assert kept.find(7, EVENT).frame(7) == '{"ack":7,"events":[]}'


def test_a_failure_is_found_for_the_same_delivery_alone(kept) -> None:
    kept.keep(1, EVENT, "nack", ',"error":{}')
    assert kept.find(1, EVENT).frame(1) == '{"nack":1,"error":{}}'
    assert kept.find(2, EVENT) is None  # the bus tries it again
    kept.begin("session-2", [])
    assert kept.find(1, EVENT) is None


def test_what_is_settled_is_forgotten_so_that_a_replay_runs_again(kept) -> None:
    kept.keep(1, EVENT, "ack", "")
    kept.settle([1])
    assert kept.find(2, EVENT) is None


def test_what_the_bus_does_not_hold_any_more_is_settled(kept) -> None:
    kept.keep(1, EVENT, "ack", "")
    kept.keep(2, OTHER, "ack", "")
    kept.begin("session-1", [2])
    assert kept.find(3, EVENT) is None
    assert kept.find(2, OTHER) is not None


def test_a_success_for_which_the_bus_has_yet_to_ask_again_is_kept(kept) -> None:
    kept.keep(None, EVENT, "ack", "")
    assert kept.find(5, EVENT) is not None
    kept.settle([5])
    assert kept.find(6, EVENT) is None


def test_a_success_that_nobody_asks_for_is_forgotten_in_the_end(kept, monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr(answers.time, "monotonic", lambda: now)
    kept.keep(None, EVENT, "ack", "")
    now += 301.0
    assert kept.find(1, EVENT) is None


def test_memory_is_bounded_and_the_oldest_go_first(kept) -> None:
    for n in range(answers.MAX_ANSWERS + 10):
        kept.keep(n, ("/s", str(n)), "ack", "")
        kept.keep(n + 100_000, ("/f", str(n)), "nack", "")
    assert kept.find(1_000_000, ("/s", "0")) is None
    assert kept.find(1_000_001, ("/s", str(answers.MAX_ANSWERS))) is not None
    assert len(kept._failures) <= answers.MAX_ANSWERS
    assert len(kept._by_delivery) <= answers.MAX_ANSWERS + 1
    large = "x" * (answers.MAX_ANSWERS_BYTES // 3)
    for n in range(5):
        kept.keep(None, ("/large", str(n)), "ack", large)
    assert [n for n in range(5) if kept.find(n, ("/large", str(n)))] == [2, 3, 4]
