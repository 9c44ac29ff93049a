"""Time travel: as of any event, the state is what folding the log up to it gives."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from eventbus import EventBus
from eventbus.errors import RejectError, TravelTooEarlyError
from eventbus.log import EventLog
from eventbus.log.baseline import begin_fold
from eventbus.log.selections import Selection
from eventbus.replay import ReplayBus
from eventbus.retention import RetentionRules
from eventbus.timestamps import to_microseconds
from handlers import install
from handlers.evaluation import EvaluationHandler
from handlers.retention import retention
from handlers.subscriptions import ensure
from handlers.travel import KINDS, TABLES, Travels
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.examples import examples
from tests.helpers.read_models import SETTINGS, decide, events
from tests.helpers.waiting import wait_until

KINDS_OF_EVENTS = ("started", "failed", "completed", "progress")
SEVERITIES = ("critical", "minor")
Rows = dict[str, set[Any]]


def rows(source: Any) -> Rows:
    with source.reading() as conn:
        return {table.name: {tuple(row) for row in conn.execute(select(table))} for table in TABLES}


def fresh(log: EventLog, position: int) -> Rows:
    """What a replay of everything up to ``position`` gives."""
    with ReplayBus(log) as bus:
        for kind in KINDS:
            ensure(cast(EventBus, bus), kind, SETTINGS)
        bus.run(position)
        return rows(bus.log)


def histories(log: EventLog) -> list[Rows]:
    """What a replay gives for each position of the log, by the position."""
    with closing(begin_fold(log)) as fold, ReplayBus(log, fold=fold) as bus:
        for kind in KINDS:
            ensure(cast(EventBus, bus), kind, SETTINGS)
        found = [rows(fold)]
        for position in range(1, log.last_sequence + 1):
            bus.run(position)
            found.append(rows(fold))
        return found


def past(travels: Travels, position: int) -> Rows:
    with travels.at(position) as handlers:
        assert handlers.position == position
        return rows(handlers._past)


@contextmanager
def travelling(
    bus: EventBus, every: int = 7, copy_every: int = 21, **options: Any
) -> Iterator[Travels]:
    """Travels that makes snapshots when told to."""
    options.setdefault("most_bytes", 10**9)
    options.setdefault("share", 1.0)  # nobody here waits for a turn
    travels = Travels(bus, SETTINGS, every=every, copy_every=copy_every, **options)
    try:
        yield travels
    finally:
        travels.close()


def make_snapshots(travels: Travels) -> None:
    while travels.keeper.step():
        pass


def fill(bus: EventBus, count: int, seed: int = 1) -> None:
    """Evaluations that start, fail, are retried and end, in a mix, all handled."""
    chance = random.Random(seed)
    for _ in range(0, count, 10):
        bus.publish_many([
            {
                "type": f"evaluation.{chance.choice(KINDS_OF_EVENTS)}",
                "data": {"eval_id": f"e{chance.randrange(9)}", "done": chance.randrange(9),
                         "error": {"type": "X", "severity": chance.choice(SEVERITIES)}},
            }
            for _ in range(10)
        ])  # fmt: skip
    assert bus.drain(LONG_S)


@settings(max_examples=examples(5), deadline=None)
@given(st.lists(events, min_size=5, max_size=40), st.integers(0, 2**32))
def test_the_state_as_of_every_event_is_that_of_a_fresh_replay(
    history: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    with open_bus("sqlite://") as bus:
        handlers = install(bus, SETTINGS)
        with travelling(bus, chance.randint(1, 9), chance.choice([1, 5, 20])) as travels:
            half = len(history) // 2
            bus.publish_many(history[:half] or history)
            assert bus.drain(LONG_S)
            make_snapshots(travels)
            decide(bus, handlers.alerts.list().items, chance)
            bus.publish_many(history[half:])
            assert bus.drain(LONG_S)
            if chance.random() < 0.5:
                make_snapshots(travels)
            expected = list(enumerate(histories(bus.log)))
            chance.shuffle(expected)
            for position, state in expected:
                assert past(travels, position) == state, position


def test_snapshots_are_gone_on_from_after_a_restart(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60)
        with travelling(bus) as travels:
            make_snapshots(travels)
            assert travels.snapshots.start == 0
        kept = travels.snapshots.position
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60, seed=2)
        with travelling(bus) as travels:
            travels.keeper.step()
            assert travels.snapshots.start == 0 and travels.snapshots.position >= kept
            make_snapshots(travels)
            for position in range(0, bus.log.last_sequence, 9):
                assert past(travels, position) == fresh(bus.log, position), position


DAMAGES = {
    "missing copies": lambda folder: [file.unlink() for file in folder.glob("*.base")],
    "a missing copy": lambda folder: sorted(folder.glob("*.base"))[1].unlink(),
    "missing steps": lambda folder: sorted(folder.glob("*.steps"))[1].unlink(),
    "copies of nonsense": lambda folder: [
        file.write_bytes(b"nonsense" * 999) for file in folder.glob("*.base")
    ],
    "empty copies": lambda folder: [file.write_bytes(b"") for file in folder.glob("*.base")],
    "cut off steps": lambda folder: [
        file.write_bytes(file.read_bytes()[:5000]) for file in folder.glob("*.steps")
    ],
    "nothing left": shutil.rmtree,
}


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "restarted"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_damaged_or_missing_is_done_without_and_made_again(
    url: str, damage: Any, is_running: bool
) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60)
        expected = {position: fresh(bus.log, position) for position in (59, 30, 45, 7)}
        with travelling(bus) as travels:
            make_snapshots(travels)
            if is_running:
                damage(folder(bus))
                for position, state in expected.items():
                    assert past(travels, position) == state, position
        if not is_running:
            damage(folder(bus))
        with travelling(bus) as travels:
            make_snapshots(travels)
            end = travels.snapshots.position
            assert end is not None and bus.log.last_sequence - end < 7
            for position, state in expected.items():
                assert past(travels, position) == state, position


def folder(bus: EventBus) -> Path:
    return bus.log.path.with_name(bus.log.path.name + "-travel")


@pytest.mark.sqlite
def test_snapshots_of_another_log_are_not_trusted(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("other", 2)):
        with open_bus(f"sqlite:///{tmp_path / name}") as bus:
            install(bus, SETTINGS)
            fill(bus, 60, seed)
            with travelling(bus) as travels:
                make_snapshots(travels)
    shutil.rmtree(tmp_path / "other-travel")
    shutil.copytree(tmp_path / "one-travel", tmp_path / "other-travel")
    with open_bus(f"sqlite:///{tmp_path / 'other'}") as bus:
        install(bus, SETTINGS)
        with travelling(bus) as travels:
            make_snapshots(travels)
            for position in (50, 21, 8):
                assert past(travels, position) == fresh(bus.log, position), position


@pytest.mark.sqlite
def test_a_log_that_was_put_back_keeps_the_snapshots_up_to_where_it_is_the_same(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60)
        shared = bus.log.last_sequence
    shutil.copy(tmp_path / "events.db", tmp_path / "kept")
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60, seed=2)
        with travelling(bus) as travels:
            make_snapshots(travels)
    shutil.copy(tmp_path / "kept", tmp_path / "events.db")
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60, seed=3)
        with travelling(bus) as travels:
            travels.keeper.step()
            position = travels.snapshots.position
            assert position is not None and shared - 7 < position
            make_snapshots(travels)
            for position in range(30, bus.log.last_sequence, 9):
                assert past(travels, position) == fresh(bus.log, position), position


def test_what_nobody_looks_at_any_more_leaves_no_files(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 30)
        pattern = f"{bus.log.path.name}-fold-*"
        with travelling(bus) as travels:
            with travels.at(9), travels.at(5):
                pass
            assert list(bus.log.path.parent.glob(pattern))
            monkeypatch.setattr("eventbus.travel.past._IDLE_S", 0.0)
            travels.travel.tidy()
            assert not list(bus.log.path.parent.glob(pattern))


def test_other_handlers_make_snapshots_of_their_own(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60)
        with travelling(bus) as travels:
            make_snapshots(travels)
        monkeypatch.setattr("handlers.travel._digest", lambda _: "a newer version")
        with travelling(bus) as travels:
            assert travels.keeper.step() and travels.snapshots.position in (0, 7)


def test_a_delivery_that_succeeds_late_is_in_every_state_from_its_event_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = True
    handle = EvaluationHandler.handle

    async def sometimes(self: Any, event: Any) -> None:
        if is_broken and event.get("is_hopeless") and isinstance(self._bus, EventBus):
            raise RejectError("not now")
        await handle(self, event)

    monkeypatch.setattr(EvaluationHandler, "handle", sometimes)
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 30)
        bus.publish("evaluation.started", {"eval_id": "late", "is_hopeless": True})
        assert bus.drain(LONG_S)
        late = bus.log.last_sequence
        fill(bus, 60)
        with travelling(bus) as travels:
            make_snapshots(travels)
            assert past(travels, late + 3) == fresh(bus.log, late + 3)
            moment = bus.now()
            is_broken = False
            bus.operations.redrive(Selection(), by="ana")
            wait_until(lambda: not bus.log.delivery_counts()["dead"], "it has succeeded")
            assert bus.drain(LONG_S)
            make_snapshots(travels)
            with travels.at(late, moment) as handlers:
                assert handlers.evaluations.get("late") is not None
                assert handlers.counters()["dead_letters"] == 1
            with travels.at(bus.log.last_sequence, bus.now()) as handlers:
                assert handlers.counters()["dead_letters"] == 0
            for position in (late - 1, late, late + 3, bus.log.last_sequence):
                assert past(travels, position) == fresh(bus.log, position), position


def test_old_copies_become_sparse_and_then_the_oldest_times_go(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 200)
        expected = histories(bus.log)
        with travelling(bus) as travels:
            make_snapshots(travels)
            copies = len(list(folder(bus).glob("*.base")))
            travels.snapshots.thin(travels.snapshots.count_bytes() - 1, 0)
            assert len(list(folder(bus).glob("*.base"))) == copies - 1
            assert travels.snapshots.start == 0
            for position in range(0, 200, 23):
                assert past(travels, position) == expected[position], position
            travels.snapshots.thin(1, 0)
            assert len(list(folder(bus).glob("*.base"))) <= 2
            for position in range(0, 200, 23):
                assert past(travels, position) == expected[position], position


def test_times_that_retention_has_removed_are_refused_and_later_ones_are_right(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        fill(bus, 60)
        with travelling(bus) as travels:
            make_snapshots(travels)
            middle = bus.log.last_sequence
            later = bus.now() + timedelta(hours=1)
            rules = RetentionRules.parse("# keep 10m")
            monkey_now = to_microseconds(later)
            bus.publish("other.event", {})
            job = retention(bus, rules, SETTINGS, min_age_s=0)
            job._now_us = lambda: monkey_now
            job.run()
            assert bus.log.removed_upto >= middle
            with pytest.raises(TravelTooEarlyError, match="not kept"), travels.at(10):
                pass
            fill(bus, 60, seed=2)
            make_snapshots(travels)
            for position in range(bus.log.removed_upto + 1, bus.log.last_sequence, 9):
                assert past(travels, position) == fresh(bus.log, position), position
