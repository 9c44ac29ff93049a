"""An event whose handler kills its process: who takes over counts it, until it is a dead letter."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from eventbus import EventBus
from eventbus.log import Delivery, EventLog
from tests.helpers.waiting import wait_until
from tests.shared.conftest import Member
from tests.shared.member import QUICK_VARIABLE, RETRY

LONG_S = 60.0
NAMES = ("one", "two", "three", "four")

Elsewhere = Callable[[str], Member]


@pytest.fixture
def bus(shared_url: str, tmp_path: Path) -> Iterator[EventBus]:
    """A bus of the test's own on the log, which handles nothing."""
    bus = EventBus(EventLog(shared_url, tmp_path / "test"))
    bus.log.between_commits(
        lambda conn: conn.execute(text("CREATE TABLE done (sequence BIGINT, who TEXT)"))
    )
    yield bus
    bus.close()


@pytest.fixture
def elsewhere(shared_url: str, tmp_path: Path) -> Iterator[Elsewhere]:
    """Starts processes that share the log and no file, as on machines of their own, by names."""
    with ExitStack() as members:
        yield lambda name: members.enter_context(Member(shared_url, tmp_path / name, name))


def done(bus: EventBus) -> list[int]:
    with bus.log.reading() as conn:
        return list(conn.execute(text("SELECT sequence FROM done ORDER BY sequence")).scalars())


def delivery(bus: EventBus, sequence: int) -> Delivery:
    (found,) = bus.log.deliveries(sequence)
    return found


def publish(bus: EventBus, before: int, after: int, kills: float = 0.0) -> tuple[int, list[int]]:
    """A poisonous event between others, each of a subject of its own; their sequences."""
    given = [{"type": "work.todo", "subject": f"s{number}"} for number in range(before + after)]
    given.insert(before, {"type": "work.todo", "subject": "x", "data": {"kills": kills}})
    events = bus.publish_many(given).wait(10)
    sequences = [event.sequence or 0 for event in events]
    return sequences.pop(before), sequences


@pytest.mark.parametrize(("before", "after"), [(3, 3), (150, 150)])
def test_one_that_kills_whoever_handles_it_is_a_dead_letter_after_its_attempts(
    elsewhere: Elsewhere, bus: EventBus, before: int, after: int
) -> None:
    members = [elsewhere(name) for name in NAMES]
    poison, others = publish(bus, before, after)
    wait_until(lambda: delivery(bus, poison).state == "dead", "it is a dead letter", LONG_S)
    wait_until(lambda: done(bus) == others, "the others are handled", LONG_S)
    found = delivery(bus, poison)
    assert [attempt.outcome for attempt in found.attempts] == ["crashed"] * RETRY.max_attempts
    assert sum(member.is_dead() for member in members) == RETRY.max_attempts
    assert bus.log.delivery_counts() == {"pending": 0, "retrying": 0, "dead": 1}
    again = elsewhere(next(member.name for member in members if member.is_dead()))
    again.ask("close")  # by then it has had its turn, or found that another has
    assert delivery(bus, poison) == found, "who comes back counts nothing again"


def test_what_a_frozen_process_had_in_a_handler_does_not_count_as_cut_off(
    elsewhere: Elsewhere, bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    frozen = elsewhere("one")
    event = bus.publish("work.todo", {"slow_s": {"one": 2.0}}, subject="s").wait(10)
    sequence = event.sequence or 0
    wait_until(lambda: frozen.ask("running") == 1, "it is at work")
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        other = elsewhere("two")
        wait_until(lambda: done(bus) == [sequence], "the other handles it", LONG_S)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: frozen.ask("running") == 0, "it has gone on")
    other.kill9()
    wait_until(lambda: frozen.ask("serves"), "it serves again", LONG_S)
    assert [each.outcome for each in delivery(bus, sequence).attempts] == ["succeeded"]
    assert done(bus) == [sequence]
