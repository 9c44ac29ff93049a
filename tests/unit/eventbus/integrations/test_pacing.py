"""At most one call per interval and key, and the last one is always made."""

from __future__ import annotations

import threading
import time

from eventbus.integrations.pacing import Pacer
from tests.helpers.waiting import wait_until


def test_the_first_call_is_made_at_once() -> None:
    calls: list[int] = []
    Pacer().touch("a", lambda: calls.append(1), 60.0)
    assert calls == [1]


def test_a_burst_becomes_two_calls_the_second_with_the_last_state() -> None:
    state = [0]
    calls: list[tuple[float, int]] = []
    pacer = Pacer()
    for n in range(1, 101):
        state[0] = n
        pacer.touch("a", lambda: calls.append((time.monotonic(), state[0])), 0.5)
    wait_until(lambda: len(calls) == 2, "the put-off call is made")
    (first_s, first), (last_s, last) = calls
    assert (first, last) == (1, 100)
    assert last_s - first_s >= 0.499


def test_keys_do_not_wait_for_one_another() -> None:
    calls: list[str] = []
    pacer = Pacer()
    for key in "abc":
        pacer.touch(key, lambda key=key: calls.append(key), 60.0)
    assert calls == ["a", "b", "c"]


def test_finishing_makes_the_put_off_call_and_no_other_later() -> None:
    calls: list[str] = []
    pacer = Pacer()
    pacer.touch("a", lambda: calls.append("first"), 0.05)
    pacer.touch("a", lambda: calls.append("put off"), 0.05)
    pacer.finish("a")
    assert calls == ["first", "put off"]
    pacer.touch("b", lambda: calls.append("b"), 0.1)
    pacer.touch("b", lambda: calls.append("later b"), 0.1)  # proof that the thread went on
    wait_until(lambda: "later b" in calls, "the thread is alive")
    assert calls.count("put off") == 1


def test_finishing_with_a_last_call_makes_that_one_instead() -> None:
    calls: list[str] = []
    pacer = Pacer()
    pacer.touch("a", lambda: calls.append("first"), 60.0)
    pacer.touch("a", lambda: calls.append("put off"), 60.0)
    pacer.finish("a", lambda: calls.append("last"))
    pacer.finish("unknown")
    assert calls == ["first", "last"]


def test_a_call_that_fails_later_does_not_end_the_others(caplog) -> None:
    done = threading.Event()
    pacer = Pacer()

    def fail() -> None:
        raise ValueError("broken")

    pacer.touch("a", lambda: None, 0.3)
    pacer.touch("a", fail, 0.3)
    wait_until(lambda: "broken" in caplog.text, "the failure is logged")
    pacer.touch("b", lambda: None, 0.02)
    pacer.touch("b", done.set, 0.02)
    assert done.wait(20)
