"""Retention in one process while others handle, and fold, what it would remove."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from eventbus import EventBus
from eventbus.log import EventLog
from eventbus.replay import ReplayBus
from eventbus.retention import Retention, RetentionRule, RetentionRules
from tests.helpers.waiting import wait_until
from tests.shared.conftest import Member
from tests.shared.test_sharing import bus, publish, share_of, steps

__all__ = ["bus"]  # the fixture

Start = Callable[[str], Member]
LONG_S = 40.0


def retention_of(log: EventLog) -> Retention:
    """One that finds everything old enough."""
    rules = RetentionRules([RetentionRule.parse("part.* keep 1h")])
    in_a_day_us = int((time.time() + 86_400) * 1e6)
    return Retention(log, rules, lambda replay: None, now_us=lambda: in_a_day_us)


def sequences(of: EventLog) -> list[int]:
    return [event.sequence or 0 for event in of.read(0).events]


def test_what_anothers_lane_has_not_handled_stays_until_it_has(
    member: Start, bus: EventBus
) -> None:
    one = member("sharer-one")
    one.ask("parts 2")
    share_of([one], [2])
    assert bus.pauses.pause("part-1", by="the test")
    count = publish(bus, 2, 60, 0.02)
    retention = retention_of(bus.log)
    held_back = retention.run().held_back
    while len(steps(bus)) < count // 2:
        held_back += retention.run().held_back
    assert held_back > 0, "it has met what was not handled"
    wait_until(lambda: bus.log.delivery_counts()["pending"] == count // 2, "the rest waits")
    assert retention.run().held_back >= count // 2 - 1
    assert bus.pauses.resume("part-1", by="the test")
    wait_until(lambda: len(steps(bus)) == count, "all is handled", LONG_S)
    wait_until(lambda: sum(bus.log.delivery_counts().values()) == 0, "and that is committed")
    retention.run()
    assert len(steps(bus)) == len({step[2] for step in steps(bus)}) == count
    left = [event.type for event in bus.log.read(0).events if event.type.startswith("part.")]
    assert len(left) <= 1, "only the newest event of a log always stays"


def test_while_another_process_folds_the_log_nothing_is_removed(
    shared_url: str, tmp_path: Path, bus: EventBus
) -> None:
    publish(bus, 1, 300, 0.0)
    other = EventLog(shared_url, tmp_path)  # as one in another process would
    removed = threading.Event()
    retention = retention_of(other)

    def remove() -> None:
        retention.run()
        removed.set()

    with EventBus(other):
        wait_until(lambda: other.last_sequence == bus.log.last_sequence, "it knows the log")
        with bus.log.removing_nothing(), ReplayBus(bus.log) as replay:
            thread = threading.Thread(target=remove)
            thread.start()
            with other.removing(0.3) as is_mine:
                assert not is_mine
            replay.run()
            assert len(sequences(bus.log)) == 300, "all of it was there to be folded"
            assert not removed.is_set()
        assert removed.wait(LONG_S), "it goes on when nobody folds"
        thread.join()
        assert len(sequences(bus.log)) == 1
