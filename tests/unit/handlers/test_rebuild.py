"""Rebuilding the read models: the same rows again, whatever happened, while the bus runs."""

from __future__ import annotations

import random
import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, text, update

from eventbus import Event, EventBus
from eventbus.errors import RebuildError
from eventbus.log import EventLog
from eventbus.replay import ReplayBus
from handlers import install, replay
from handlers.alert.table import alerts
from handlers.evaluation import EvaluationHandler
from handlers.evaluation.table import evaluations
from handlers.monitoring import MonitoringHandler
from handlers.monitoring.table import HISTORY_KEPT, metrics
from handlers.queue import QueueHandler
from handlers.queue.table import queues, tasks
from handlers.rebuild import rebuild
from handlers.subscriptions import ensure
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.examples import examples
from tests.helpers.read_models import SETTINGS, decide, events, tables
from tests.helpers.waiting import wait_until


def sabotage(bus: EventBus) -> None:
    """Spoil rows of every kind: changed, gone and made up."""

    def spoil(conn: Connection) -> None:
        conn.execute(update(evaluations).values(done=evaluations.c.done + 70))
        conn.execute(delete(alerts))
        conn.execute(update(queues).values(depth=queues.c.depth + 5))
        conn.execute(delete(tasks).where(tasks.c.task_id == "e1"))
        conn.execute(update(metrics).values(added=99.0))
        conn.execute(text("UPDATE handler_counters SET value = value + 3"))

    bus.log.between_commits(spoil)


def check(bus: EventBus) -> list[str]:
    """What a check finds, as it is printed."""
    return [str(each) for each in rebuild(bus, SETTINGS, is_check=True).run().examples]


def flaky(monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Let the built-in handlers fail now and then, some events so often that they are dead."""
    for kind in (EvaluationHandler, QueueHandler, MonitoringHandler):
        handle = kind.handle

        async def sometimes(self: Any, event: Event, handle: Any = handle) -> None:
            is_hopeless = event.get("is_hopeless", False)
            is_live = not isinstance(self._bus, ReplayBus)
            if is_live and (is_hopeless or chance.random() < 0.2):
                raise RuntimeError("not this time")
            await handle(self, event)

        monkeypatch.setattr(kind, "handle", sometimes)


@settings(max_examples=examples(4), deadline=None)
@given(st.lists(events, max_size=40), st.integers(0, 2**32))
def test_failures_and_redeliveries_leave_the_rows_that_a_replay_gives(
    history: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, open_bus("sqlite://") as bus:
        handlers = install(bus, SETTINGS)
        flaky(patch, chance)
        for event in history:
            event["data"]["is_hopeless"] = chance.random() < 0.1
        bus.publish_many(history)
        decide(bus, handlers.alerts.list().items, chance)
        found = check(bus)  # in the middle of it
        wait_until(lambda: all(not s.lag for s in bus.subscriptions()), "all is done or dead")
        patch.undo()
        assert (found, check(bus)) == ([], [])
        live = tables(bus)
        sabotage(bus)
        rebuild(bus, SETTINGS).run()
        assert tables(bus) == live and check(bus) == []


def test_a_check_names_what_differs_and_changes_nothing(bus: EventBus) -> None:
    install(bus, SETTINGS)
    bus.publish("evaluation.started", {"eval_id": "e1"})
    bus.publish("queue.task.added", {"task_id": "t1"})
    assert bus.drain(LONG_S)
    bus.log.between_commits(lambda conn: conn.execute(update(evaluations).values(done=7)))
    bus.log.between_commits(lambda conn: conn.execute(delete(tasks)))
    spoilt = tables(bus)
    progress = rebuild(bus, SETTINGS, is_check=True).run()
    shown = [str(found) for found in progress.examples]
    assert shown[0] == "evaluations[eval_id='e1']: done is 7, a replay gives 0"
    assert shown[1].startswith(
        "queue_tasks[queue='default', task_id='t1'] is missing, a replay gives {'queue': 'default'"
    )
    assert progress.differences == 2 and tables(bus) == spoilt


def test_a_rebuild_under_load_loses_no_delivery_and_applies_none_twice(url: str) -> None:
    with open_bus(url) as bus:
        handlers = install(bus, SETTINGS)
        is_over = threading.Event()

        def produce(seed: int) -> None:
            chance = random.Random(seed)
            n = 0
            while not is_over.wait(0.06):  # a load that a slow machine folds, too
                n += 1
                id = f"e{chance.randrange(60)}"
                kind = chance.choice(["started", "failed", "completed", "progress"])
                bus.publish_many([
                    {"type": f"evaluation.{kind}", "data": {"eval_id": id, "done": n % 9}},
                    {"type": "queue.task.added", "data": {"task_id": f"{seed}-{n}"}},
                    {"type": "queue.task.started", "data": {"task_id": f"{seed}-{n // 2}"}},
                    {"type": "monitoring.metric.incremented", "data": {"metric": "m1", "by": 2}},
                    {"type": "monitoring.metric.recorded", "data": {"metric": "m0", "value": n}},
                ])  # fmt: skip

        threads = [threading.Thread(target=produce, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                wait_until(lambda: handlers.counters()["queue_depth"] > 0, "it runs")
                sabotage(bus)
                progress = rebuild(bus, SETTINGS).run()
                assert progress.state == "done" and progress.differences > 0
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        wait_until(
            lambda: all(not s.lag for s in bus.subscriptions()), "everything is handled", LONG_S
        )
        assert check(bus) == []
        assert replay(bus.log, SETTINGS) == handlers.counters()
        assert handlers.counters()["dead_letters"] == 0


@pytest.fixture
def overtaken(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Every task that is folded has two more recorded and handled, until it is set."""
    monkeypatch.setattr("eventbus.rebuild._FEW", 5)
    monkeypatch.setattr("eventbus.rebuild._ROUND_S", 0.0)
    monkeypatch.setattr("eventbus.rebuild._WINDOW_ROUNDS", 2)
    monkeypatch.setattr("eventbus.replay._PAGE", 4)
    install(bus, SETTINGS)
    handle, is_over = QueueHandler.handle, threading.Event()
    task = {"type": "queue.task.added", "data": {"task_id": "t1"}}

    async def flood(self: Any, event: Event) -> None:
        await handle(self, event)
        if isinstance(self._bus, ReplayBus) and not is_over.is_set():
            more = threading.Thread(target=lambda: bus.publish_many([task] * 2).deliveries(LONG_S))
            more.start()
            more.join()

    monkeypatch.setattr(QueueHandler, "handle", flood)
    bus.publish_many([task] * 8)
    assert bus.drain(LONG_S)
    return is_over


def test_a_check_ends_while_events_come_in_faster_than_they_are_folded(
    bus: EventBus, overtaken: threading.Event
) -> None:
    progress = rebuild(bus, SETTINGS, is_check=True).run()
    assert (progress.state, progress.differences, progress.error) == ("done", 0, None)
    assert bus.log.last_sequence - progress.position > 5
    assert progress.recorded_per_s > progress.folded_per_s > 0  # type: ignore[operator]


def test_a_rebuild_that_cannot_catch_up_stops_and_says_both_rates(
    bus: EventBus, overtaken: threading.Event
) -> None:
    bus.publish("evaluation.started", {"eval_id": "e1"})
    assert bus.drain(LONG_S)
    sabotage(bus)
    progress = rebuild(bus, SETTINGS).run()
    assert progress.state == "stopped" and progress.differences > 0
    assert re.fullmatch(
        r"events come in faster than they are folded \([\d,]+ a second, against [\d,]+\), so that "
        r"it stays [\d,]+ behind; try again when fewer come in; nothing was replaced",
        progress.error or "",
    )
    overtaken.set()
    assert "evaluations[eval_id='e1']: done is 70, a replay gives 0" in check(bus)
    assert rebuild(bus, SETTINGS).run().state == "done"
    assert check(bus) == []


def test_a_check_that_is_too_far_behind_to_compare_stops(
    bus: EventBus, overtaken: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.rebuild._MOST_SNAPSHOT_S", 0.0)
    progress = rebuild(bus, SETTINGS, is_check=True).run()
    assert progress.state == "stopped" and "events come in faster" in (progress.error or "")


def test_a_decision_on_rows_that_were_replaced_meanwhile_is_made_again(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its base row has the right last_sequence but wrong contents: that must not come back."""
    handlers = install(bus)
    bus.publish("evaluation.started", {"eval_id": "e1", "task": "right"})
    assert bus.drain(LONG_S)
    bus.log.between_commits(lambda conn: conn.execute(update(evaluations).values(task="wrong")))
    ensure(bus, EvaluationHandler).replaced()  # as after a restart: nothing is remembered
    has_read, may_go_on = threading.Event(), threading.Event()
    publish = bus.publish

    def slow_publish(type: str, *args: Any, **named: Any) -> Any:
        if type == "cleanup.evaluation":  # the handler has read the row, and decided
            has_read.set()
            assert may_go_on.wait(LONG_S)
        return publish(type, *args, **named)

    monkeypatch.setattr(bus, "publish", slow_publish)
    publish("evaluation.completed", {"eval_id": "e1"})
    assert has_read.wait(LONG_S)
    rebuild(bus).run()
    may_go_on.set()
    wait_until(lambda: handlers.counters()["completed"] == 1, "it was decided again")
    found = handlers.evaluations.get("e1")
    assert found is not None and (found.task, found.state) == ("right", "completed")
    assert rebuild(bus, is_check=True).run().differences == 0


def test_histories_are_compared_for_as_long_as_they_are_kept(bus: EventBus) -> None:
    install(bus, SETTINGS)
    for start in range(0, HISTORY_KEPT + 400, 70):  # cut at other places than a replay cuts
        bus.publish_many(
            {"type": "monitoring.metric.recorded", "data": {"metric": "m9", "value": n}}
            for n in range(start, start + 70)
        )
        assert bus.drain(LONG_S)
    assert check(bus) == []


def test_a_closed_database_is_checked_and_rebuilt_without_a_bus(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, SETTINGS)
        bus.publish("evaluation.started", {"eval_id": "e1"})
        assert bus.drain(LONG_S)
        live = tables(bus)
        sabotage(bus)
    log = EventLog(url)
    try:
        assert rebuild(log, SETTINGS, is_check=True).run().differences > 0
        assert rebuild(log, SETTINGS).run().state == "done"
        assert rebuild(log, SETTINGS, is_check=True).run().differences == 0
    finally:
        log.close()
    with open_bus(url) as bus:
        assert tables(bus) == live


def test_a_rebuild_that_cannot_handle_what_was_handled_replaces_nothing(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bus)
    bus.publish("queue.task.added", {"task_id": "t1"})
    assert bus.drain(LONG_S)
    before = tables(bus)

    async def broken(self: Any, event: Event) -> None:
        raise RuntimeError("a new bug")

    monkeypatch.setattr(QueueHandler, "handle", broken)
    with pytest.raises(RebuildError, match=r"event #1 \(queue.task.added\) at queue: .*a new bug"):
        rebuild(bus).run()
    assert tables(bus) == before


def test_a_stopped_rebuild_leaves_nothing_behind(bus: EventBus) -> None:
    install(bus)
    bus.publish("queue.task.added", {"task_id": "t1"})
    job = rebuild(bus)
    job.stop()
    assert job.run().state == "stopped"
    assert list(bus.log.path.parent.glob("*-fold-*")) == []
