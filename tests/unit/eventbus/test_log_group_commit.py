"""Group commit: whoever waits for a unit is told, whoever commits it, and nobody waits for ever."""

from __future__ import annotations

import random
import threading
import time

import pytest

from eventbus import Event
from eventbus.errors import LogWriteError, ReceiptTimeoutError
from eventbus.log.commit import GroupCommit
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S


class Disk:
    """Writes batches as slowly as it is told, and checks that they come one at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.pause_s = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._busy = threading.Lock()

    def write(self, batch: list[Unit]) -> None:
        assert self._busy.acquire(blocking=False), "two commits at a time"
        self.entered.set()
        assert self.gate.wait(LONG_S)
        time.sleep(self.pause_s)
        self.batches.append(len(batch))
        self._busy.release()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def commit(disk: Disk):  # type: ignore[no-untyped-def]
    commit = GroupCommit(disk.write)
    commit.start()
    yield commit
    disk.gate.set()
    commit.close()


def unit() -> Unit:
    return Unit([Event.create("a")])


def test_what_comes_while_a_commit_is_made_is_committed_together(
    commit: GroupCommit, disk: Disk
) -> None:
    disk.gate.clear()
    threads = [threading.Thread(target=commit.commit, args=(unit(),)) for _ in range(9)]
    threads[0].start()
    assert disk.entered.wait(LONG_S)
    for thread in threads[1:]:
        thread.start()
    while len(commit._queue) < 8:
        time.sleep(0.001)
    disk.gate.set()
    for thread in threads:
        thread.join(LONG_S)
    assert disk.batches == [1, 8]


def test_many_threads_for_one_unit_are_all_told(commit: GroupCommit, disk: Disk) -> None:
    disk.gate.clear()
    one = unit()
    told: list[bool] = []
    threads = [
        threading.Thread(target=lambda: (commit.wait(one), told.append(one.is_done)))
        for _ in range(8)
    ]
    commit.submit(one)
    for thread in threads:
        thread.start()
    assert disk.entered.wait(LONG_S)
    disk.gate.set()
    for thread in threads:
        thread.join(LONG_S)
    assert told == [True] * 8


def test_a_unit_whose_waiter_gave_up_is_committed_all_the_same(
    commit: GroupCommit, disk: Disk
) -> None:
    disk.gate.clear()
    leader = threading.Thread(target=commit.commit, args=(unit(),))
    leader.start()
    assert disk.entered.wait(LONG_S)
    late = unit()
    commit.submit_patiently(late)
    with pytest.raises(ReceiptTimeoutError):
        commit.wait(late, 0.01)
    disk.gate.set()
    leader.join(LONG_S)
    commit.wait(late, LONG_S)
    assert sum(disk.batches) == 2


def test_an_error_of_a_batch_is_told_to_all_whose_units_were_in_it(
    commit: GroupCommit, disk: Disk
) -> None:
    def fails(batch: list[Unit]) -> None:
        for one in batch:
            one.error = LogWriteError("full")

    commit._write = fails
    with pytest.raises(LogWriteError, match="full"):
        commit.commit(unit())


@pytest.mark.parametrize("seed", range(5))
def test_nobody_waits_for_ever_however_they_come(
    commit: GroupCommit, disk: Disk, seed: int
) -> None:
    choices = random.Random(seed)
    disk.pause_s = 0.0003
    done: list[int] = []

    def publish(choose: random.Random) -> None:
        for _ in range(60):
            way = choose.randrange(6)
            one = unit()
            if way == 0:
                commit.submit(one)
                commit.wait(one, LONG_S)
            elif way == 1:
                commit.submit_patiently(one)
                try:
                    commit.wait(one, choose.choice((0.0, 0.0005)))
                except ReceiptTimeoutError:
                    commit.wait(one, LONG_S)
            elif way == 2:
                commit.exclusively(lambda: time.sleep(0.0005))
                commit.commit(one)
            else:
                commit.commit(one)
            assert one.is_done
            done.append(1)

    threads = [
        threading.Thread(target=publish, args=(random.Random(choices.random()),)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert len(done) == 8 * 60
    assert sum(disk.batches) == 8 * 60
