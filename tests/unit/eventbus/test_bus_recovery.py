"""Recovery: what is unfinished survives a stop, a crash and a second process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventbus import EventBus, RetryPolicy
from eventbus.errors import LogLockedError
from eventbus.log import Delivery
from tests.helpers.bus import FAST, LONG_S, Failing, Recorder, open_bus

ROOT = Path(__file__).parents[3]
SLOW = RetryPolicy(max_attempts=3, base_delay_s=3600.0, max_delay_s=7200.0)


def run_process(url: str, script: str) -> subprocess.CompletedProcess[str]:
    """Another process with ``bus`` open on the log at ``url``."""
    head = (
        "import os, signal, sys, threading, time\n"
        "from tests.helpers.bus import LONG_S, Recorder, open_bus\n"
        f"bus = open_bus({url!r})\n"
        "def die(event): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + script],
        capture_output=True, text=True, timeout=60, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip


def one(bus: EventBus, sequence: int = 1) -> Delivery:
    (delivery,) = bus.log.deliveries(sequence)
    return delivery


def test_pending_deliveries_survive_a_stop(url: str) -> None:
    go_on = threading.Event()
    with open_bus(url) as bus:
        handler = Recorder(lambda event: go_on.wait(LONG_S))
        bus.subscribe("a", handler, name="mine", concurrency=1)
        bus.publish_many([{"type": "a", "subject": f"s{number}"} for number in range(50)])
        handler.wait_for(1)
        bus.close(timeout=0.01)
        go_on.set()
    with open_bus(url) as bus:
        assert bus.log.delivery_counts()["pending"] == 50
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        assert bus.drain(LONG_S)
        assert bus.log.delivery_counts()["pending"] == 0
        states = {one(bus, sequence).state for sequence in range(1, 51)}
        assert states == {"succeeded"}


def test_a_retry_survives_a_restart_with_its_schedule_and_count(url: str) -> None:
    with open_bus(url, retry=SLOW) as bus:
        bus.subscribe("a", Failing(), name="mine")
        (before,) = bus.publish("a").deliveries(LONG_S, until="attempted")
        assert before.state == "retrying"
    with open_bus(url, retry=SLOW) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        assert bus.drain(LONG_S)
        after = one(bus)
        assert (after.state, after.attempt) == ("retrying", 1)
        assert after.next_attempt_at == before.next_attempt_at
        assert len(after.attempts) == 1
        assert handler.events == []
        (stats,) = bus.subscriptions()
        assert (stats.failures, stats.retrying) == (1, 1)


def test_a_retry_that_came_due_while_stopped_runs_at_the_start(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Failing(), name="mine", max_attempts=100_000)
        bus.publish("a").deliveries(LONG_S, until="attempted")
        bus.publish("a")  # the same subject: waits behind the first
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine", max_attempts=100_000)
        assert [event.sequence for event in handler.wait_for(2)] == [1, 2]
        assert bus.drain(LONG_S)
        assert one(bus).state == "succeeded"
        assert one(bus).attempt >= 2


def test_attempts_go_on_counting_after_a_restart(url: str) -> None:
    quick = RetryPolicy(max_attempts=4, base_delay_s=0.2, max_delay_s=0.2)
    with open_bus(url, retry=quick) as bus:
        before = Failing()
        bus.subscribe("a", before, name="mine")
        bus.publish("a").deliveries(LONG_S, until="attempted")
    with open_bus(url, retry=FAST) as bus:
        after = Failing()
        bus.subscribe("a", after, name="mine", max_attempts=4)
        with bus.watch(1) as changed:
            while one(bus).state != "dead":
                assert changed.wait(LONG_S)
                changed.clear()
        assert before.calls + after.calls == 4
        assert [attempt.number for attempt in one(bus).attempts] == [1, 2, 3, 4]


def test_dead_letters_stay_dead(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Failing(), name="mine", max_attempts=1)
        bus.publish("a").deliveries(LONG_S)
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        assert bus.drain(LONG_S)
        assert handler.events == []
        assert one(bus).state == "dead"


def test_order_by_subject_holds_across_a_restart(url: str) -> None:
    with open_bus(url, retry=SLOW) as bus:  # no retry comes before the end of this bus
        bus.subscribe("a", Failing(), name="mine")
        bus.publish("a", subject="x").deliveries(LONG_S, until="attempted")
        bus.publish("a", subject="x")
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("a", handler, name="mine")
        bus.publish("a", subject="x")
        assert [event.sequence for event in handler.wait_for(3)] == [1, 2, 3]


# -- crashes ------------------------------------------------------------------------------------


def test_an_acknowledged_publish_survives_a_kill(url: str) -> None:
    result = run_process(
        url,
        "bus.publish('a', id='acknowledged')\nprint('acknowledged', flush=True)\ndie(None)\n",
    )
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, "acknowledged\n")
    with open_bus(url) as bus:
        assert bus.log.get("acknowledged") is not None


def test_an_attempt_that_a_crash_cut_off_counts_and_no_other_does(url: str) -> None:
    result = run_process(
        url,
        "release = threading.Event()\n"
        "bus.subscribe('fatal', lambda event: release.wait(LONG_S) and die(event), name='mine')\n"
        "bus.subscribe('waiting', Recorder(lambda event: time.sleep(60)), name='other',\n"
        "              concurrency=1)\n"
        "bus.publish('fatal')\n"
        "bus.publish('waiting', subject='1'); bus.publish('waiting', subject='2')\n"
        "while len(bus.running()) < 2: time.sleep(0.01)\n"
        "release.set()\n"
        "time.sleep(60)\n",
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    with open_bus(url) as bus:
        fatal, waiting = Recorder(), Recorder()
        bus.subscribe("fatal", fatal, name="mine")
        bus.subscribe("waiting", waiting, name="other")
        fatal.wait_for(1)
        waiting.wait_for(2)
        assert bus.drain(LONG_S)
        first, second, third = (one(bus, sequence) for sequence in (1, 2, 3))
        # Both handlers were in the middle of an attempt, and nobody can know which one killed.
        assert [attempt.outcome for attempt in first.attempts] == ["crashed", "succeeded"]
        assert [attempt.outcome for attempt in second.attempts] == ["crashed", "succeeded"]
        assert [attempt.outcome for attempt in third.attempts] == ["succeeded"]
        assert first.attempts[0].error_class == "CrashedAttemptError"
        assert "process died" in (first.attempts[0].error_message or "")


def test_a_start_that_dies_while_it_counts_crashes_counts_none_twice(url: str) -> None:
    hanging = "bus.subscribe('fatal', lambda event: die(event), name='mine')\n"
    dies_before_it_forgets = "bus.log.in_flight.forget = die\n"
    first = run_process(url, f"{hanging}bus.publish('fatal')\nthreading.Event().wait(LONG_S)\n")
    assert first.returncode == -signal.SIGKILL, first.stderr
    for _ in range(FAST.max_attempts):
        again = run_process(url, dies_before_it_forgets + hanging)
        assert again.returncode == -signal.SIGKILL, again.stderr
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("fatal", handler, name="mine")
        handler.wait_for(1)
        assert bus.drain(LONG_S)
        outcomes = [attempt.outcome for attempt in one(bus).attempts]
        assert outcomes == ["crashed", "succeeded"]


def test_an_event_that_kills_the_process_ends_as_a_dead_letter(url: str) -> None:
    script = (
        "bus.subscribe('#', lambda event: event.type == 'fatal' and die(event), name='mine')\n"
        "bus.log.last_sequence or bus.publish('fatal')\n"
        "threading.Event().wait(LONG_S)\n"
    )
    for _ in range(FAST.max_attempts):
        assert run_process(url, script).returncode == -signal.SIGKILL
    with open_bus(url) as bus:
        handler = Recorder()
        bus.subscribe("#", handler, name="mine")
        bus.publish("harmless")
        assert [event.type for event in handler.wait_for(1)] == ["harmless"]
        delivery = one(bus)
        assert (delivery.state, delivery.attempt) == ("dead", 3)
        assert [attempt.outcome for attempt in delivery.attempts] == ["crashed"] * 3
        assert delivery.next_attempt_at is None


def test_a_crash_before_the_commit_leaves_no_effects_and_one_after_it_leaves_all(
    url: str,
) -> None:
    result = run_process(
        url,
        "def handle(event):\n"
        "    bus.publish('further', {'of': event.id})\n"
        "    if event.id == '2': die(event)\n"
        "bus.subscribe('a', handle, name='mine')\n"
        "bus.publish('a', id='1').deliveries(LONG_S)\n"
        "bus.publish('a', id='2').deliveries(LONG_S)\n",
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    with open_bus(url) as bus:
        bus.subscribe("a", lambda event: bus.publish("further", {"of": event.id}), name="mine")
        with bus.watch(3) as changed:
            while one(bus, 3).state != "succeeded":
                assert changed.wait(LONG_S)
                changed.clear()
        further = [e for e in bus.log.read(0).events if e.type == "further"]
        assert [event["of"] for event in further] == ["1", "2"]


def test_a_stop_in_good_order_counts_no_attempt(url: str) -> None:
    with open_bus(url) as bus:
        never = threading.Event()
        handler = Recorder(lambda event: never.wait(LONG_S))
        bus.subscribe("a", handler, name="mine")
        bus.publish("a")
        handler.wait_for(1)
        bus.close(timeout=0.01)
        never.set()
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="mine")
        assert bus.drain(LONG_S)
        assert [attempt.outcome for attempt in one(bus).attempts] == ["succeeded"]


# -- another process ----------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_second_process_is_refused_and_told_who_has_the_log(bus: EventBus, url: str) -> None:
    result = run_process(url, "")
    assert result.returncode == 1
    assert "LogLockedError" in result.stderr
    assert f"pid {os.getpid()}" in result.stderr
    assert bus.publish("a").event.sequence == 1


@pytest.mark.sqlite
def test_the_log_is_free_as_soon_as_its_process_is_dead(url: str) -> None:
    assert run_process(url, "die(None)\n").returncode == -signal.SIGKILL
    with open_bus(url) as bus:
        assert bus.publish("a").event.sequence == 1
        with pytest.raises(LogLockedError):
            open_bus(url)


def test_recorded_times_are_those_of_the_event_not_of_the_restart(url: str) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with open_bus(url) as bus:
        bus.publish("a", time=moment)
    with open_bus(url) as bus:
        assert bus.log.read(0).events[0].time == moment
