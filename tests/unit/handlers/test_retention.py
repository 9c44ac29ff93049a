"""Retention: what goes, what stays, and read models that stay what they were."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from eventbus import Event, EventBus
from eventbus.errors import BackupError, RebuildError
from eventbus.log import schema
from eventbus.log.backup import make_backup
from eventbus.log.baseline import baseline_path
from eventbus.log.fold import remove_files
from eventbus.log.selections import Replayed, Selection
from eventbus.log.space import file_bytes, pages
from eventbus.retention import Removed, RetentionRules
from handlers import install
from handlers.queue import QueueHandler
from handlers.rebuild import rebuild
from handlers.retention import retention
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.examples import examples
from tests.helpers.read_models import SETTINGS, decide, events, tables
from tests.helpers.waiting import wait_until
from tests.unit.handlers.test_rebuild import check, flaky, sabotage

DAY_US = 86_400 * 1_000_000
KEEP = "a.* keep 30d"


def age(bus: EventBus, days: Callable[[int], float] = lambda sequence: 40.0) -> None:
    """Have every event recorded ``days(sequence)`` before now."""
    column = schema.events.c.sequence

    def change(conn: Connection) -> None:
        now_us = time.time_ns() // 1_000
        for sequence in conn.execute(select(column)).scalars().all():
            recorded_us = now_us - int(days(sequence) * DAY_US)
            conn.execute(
                update(schema.events).where(column == sequence).values(recorded_us=recorded_us)
            )

    bus.log.between_commits(change)


def recorded(bus: EventBus) -> dict[int, Event]:
    return {event.sequence or 0: event for event in bus.log.read(0, limit=100_000).events}


def sequences(bus: EventBus, table: Any) -> set[int]:
    with bus.log.reading() as conn:
        return set(conn.execute(select(table.c.sequence)).scalars())


def run(bus: EventBus, rules: str, **options: Any) -> Removed:
    return retention(bus, RetentionRules.parse(rules), SETTINGS, **options).run()


def counted(removed: Removed) -> dict[str, tuple[int, int]]:
    return {rule: (each.events, each.payloads) for rule, each in removed.rules.items()}


def publish(bus: EventBus, type: str, count: int, **data: Any) -> None:
    bus.publish_many([{"type": type, "data": {"n": n, **data}} for n in range(count)])


def settle(bus: EventBus) -> None:
    """Every delivery has succeeded or is dead."""
    wait_until(lambda: all(not each.lag for each in bus.subscriptions()), "all is done or dead")


def test_old_events_go_with_all_that_is_about_them_and_the_newest_stays(bus: EventBus) -> None:
    flaky = Failing(times=2)
    bus.subscribe("a.#", flaky, name="own")
    publish(bus, "a.b", 10)
    settle(bus)
    age(bus)
    assert counted(run(bus, KEEP)) == {KEEP: (9, 0)}
    assert list(recorded(bus)) == [10]
    for table in (schema.deliveries, schema.attempts):
        assert sequences(bus, table) <= {10}
    assert (bus.log.removed_upto, bus.log.removed_count) == (9, 9)


def test_an_event_that_somebody_may_still_need_is_held_back_until_he_has_it(
    bus: EventBus,
) -> None:
    failing = Failing()
    bus.subscribe("a.dead", failing, name="own")
    publish(bus, "a.dead", 1)
    publish(bus, "a.b", 2)
    wait_until(lambda: bus.log.delivery_counts().get("dead"), "it is dead")
    age(bus)
    removed = run(bus, KEEP + "; # keep 40d payload 20d")
    assert counted(removed) == {KEEP: (1, 0)} and removed.held_back == 1
    assert not recorded(bus)[1].is_stripped
    failing.left = 0
    operation = bus.operations.redrive(Selection(), by="ana")
    assert bus.operations.wait(operation.id, LONG_S)
    settle(bus)
    age(bus)
    assert counted(run(bus, KEEP))[KEEP][0] >= 1
    assert 1 not in recorded(bus)


def test_a_payload_goes_before_its_event_and_the_event_says_so(bus: EventBus) -> None:
    publish(bus, "a.b", 3, secret="x" * 100)
    age(bus, lambda sequence: 5.0)
    assert counted(run(bus, "a.* keep 30d payload 1d")) == {"a.* keep 30d payload 1d": (0, 2)}
    first, second, newest = recorded(bus).values()
    assert first.is_stripped and second.is_stripped and not newest.is_stripped
    assert first.data == {} and first.to_dict()["dataremoved"] is True
    assert "data" not in first.to_dict() and '"dataremoved":true' in first.to_json()
    again = run(bus, "a.* keep 30d payload 1d")
    assert again.is_nothing


def test_the_audit_trail_stays_unless_a_rule_names_it(bus: EventBus) -> None:
    types = ["alert.critical", "alert.acknowledged", "bus.rebuild.started", "a.b"]
    data = {"alert_id": "1", "service": "s", "error": "broken"}
    bus.publish_many([{"type": type, "data": data} for type in [*types, "z.z"]])
    age(bus)
    run(bus, "* keep 30d")
    assert [event.type for event in recorded(bus).values()] == [
        "alert.acknowledged", "bus.rebuild.started", "z.z",
    ]  # fmt: skip
    run(bus, "bus.* keep 30d; alert.acknowledged keep 1y; * keep 30d")
    assert [event.type for event in recorded(bus).values()] == ["alert.acknowledged", "z.z"]


@pytest.mark.sqlite
def test_a_database_that_is_too_large_loses_its_oldest_events(bus: EventBus) -> None:
    publish(bus, "kept.a", 5)
    publish(bus, "a.b", 1_500, text="x" * 1_000)
    age(bus, lambda sequence: 1.0)
    with bus.log.reading() as conn:
        limit = pages(conn).used_bytes // 2
    removed = run(bus, "kept.* keep forever", max_bytes=limit)
    left = sorted(recorded(bus))
    assert left[:5] == [1, 2, 3, 4, 5] and left[5:] == list(range(left[5], 1_506))
    assert 400 < len(left) < 900 and not removed.is_too_large
    with bus.log.reading() as conn:
        assert pages(conn).used_bytes <= limit
    assert run(bus, "kept.* keep forever; # keep forever", max_bytes=limit // 4).is_too_large


def test_what_was_recorded_just_now_stays_however_large_it_is(bus: EventBus) -> None:
    publish(bus, "a.b", 100, text="x" * 1_000)
    assert run(bus, "", max_bytes=4_096).is_nothing


@pytest.mark.sqlite
def test_the_file_shrinks(bus: EventBus) -> None:
    publish(bus, "a.b", 1_500, text="x" * 2_000)
    age(bus)
    bus.log.between_commits(lambda conn: None)
    run(bus, "")  # folds the write-ahead log into the file
    before = file_bytes(bus.log.path)
    assert before > 3_000_000
    run(bus, KEEP)
    publish(bus, "a.b", 1)
    run(bus, KEEP)
    assert file_bytes(bus.log.path) < before / 4


@settings(max_examples=examples(4), deadline=None)
@given(
    st.lists(events, max_size=40),
    st.lists(st.integers(0, 60), min_size=3, max_size=3),
    st.integers(0, 2**32),
)
def test_read_models_are_rebuilt_exactly_from_what_is_left(
    history: list[dict[str, Any]], marks: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch, open_bus("sqlite://") as bus:
        handlers = install(bus, SETTINGS)
        flaky(patch, chance)
        for event in history:
            event["data"]["is_hopeless"] = chance.random() < 0.1
        half = len(history) // 2
        rules = "queue.* keep 10d; evaluation.* keep 20d payload 5d; # keep 30d payload 10d"
        for part in (history[:half], history[half:]):
            bus.publish_many(part)
            decide(bus, handlers.alerts.list().items, chance)
            bounds = sorted(chance.randrange(bus.log.last_sequence + 2) for _ in range(3))
            age(bus, lambda n, bounds=bounds: 40.0 - 12 * sum(n > b for b in bounds))  # type: ignore[misc]
            run(bus, rules)  # in the middle of it
            assert check(bus) == []
            settle(bus)
            run(bus, rules)
        patch.undo()
        assert check(bus) == []
        live = tables(bus)
        sabotage(bus)
        rebuild(bus, SETTINGS).run()
        assert tables(bus) == live and check(bus) == []


def test_nothing_goes_when_the_baseline_is_gone_and_a_rebuild_says_so(bus: EventBus) -> None:
    publish(bus, "a.b", 5)
    age(bus)
    run(bus, KEEP)
    remove_files(baseline_path(bus.log))
    publish(bus, "a.b", 5)
    age(bus)
    with pytest.raises(RebuildError, match="is missing"):
        run(bus, KEEP)
    with pytest.raises(RebuildError, match="is missing"):
        rebuild(bus, SETTINGS, is_check=True).run()
    assert len(recorded(bus)) == 6


def test_a_baseline_of_another_database_is_not_used(bus: EventBus) -> None:
    baseline_path(bus.log).write_bytes(b"of another one")
    install(bus, SETTINGS)
    publish(bus, "evaluation.started", 3, eval_id="e")
    settle(bus)
    age(bus)
    assert check(bus) == []
    run(bus, "evaluation.* keep 30d")
    assert check(bus) == []


def test_nothing_goes_when_something_cannot_be_folded(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bus, SETTINGS)
    publish(bus, "queue.task.added", 5, task_id="t")
    settle(bus)
    age(bus)

    async def broken(self: Any, event: Event) -> None:
        raise RuntimeError("changed since")

    with monkeypatch.context() as patch:
        patch.setattr(QueueHandler, "handle", broken)
        with pytest.raises(RebuildError, match="changed since"):
            run(bus, "# keep 30d")
    assert 1 in recorded(bus)
    run(bus, "# keep 30d")
    assert 1 not in recorded(bus) and check(bus) == []


def test_a_replay_skips_what_has_no_payload(bus: EventBus) -> None:
    publish(bus, "a.b", 3)
    age(bus, lambda sequence: 5.0)
    run(bus, "a.* payload 1d")
    got = Recorder()
    bus.subscribe("a.#", got, name="own")
    replayed = Replayed("own")
    preview = bus.operations.preview_replay(replayed)
    assert (preview.total, preview.skipped) == (3, 2)
    operation = bus.operations.replay(replayed, by="ana")
    assert bus.operations.wait(operation.id, LONG_S)
    settle(bus)
    assert [event.sequence for event in got.events] == [3]
    done = bus.operations.get(operation.id)
    assert done is not None and (done.done, done.skipped) == (1, 2)


def test_a_dry_run_says_what_the_run_then_does(bus: EventBus) -> None:
    bus.subscribe("a.dead", Failing(), name="own")
    publish(bus, "a.dead", 1)
    publish(bus, "a.b", 20)
    publish(bus, "c.d", 9)
    settle(bus)
    age(bus, lambda sequence: 40.0 if sequence <= 10 else 5.0)
    job = retention(bus, RetentionRules.parse("a.* keep 30d payload 1d; c.* payload 3d"), SETTINGS)
    planned = job.would_remove()
    assert counted(planned) == counted(job.run())
    assert counted(planned) == {"a.* keep 30d payload 1d": (9, 11), "c.* payload 3d": (0, 8)}
    assert planned.held_back == 1


def test_it_waits_while_a_rebuild_is_under_way_and_stops_at_once(bus: EventBus) -> None:
    publish(bus, "a.b", 5)
    age(bus)
    job = retention(bus, RetentionRules.parse(KEEP), SETTINGS)
    found: list[Removed] = []
    thread = threading.Thread(target=lambda: found.append(job.run()))
    with bus.log.removing_nothing():
        thread.start()
        job.stop()
        thread.join(LONG_S)
    assert found[0].is_nothing and len(recorded(bus)) == 5


def test_events_that_come_meanwhile_are_recorded_and_handled_once(bus: EventBus) -> None:
    install(bus, SETTINGS)
    for _ in range(20):
        publish(bus, "queue.task.added", 100, task_id="t")
    settle(bus)
    age(bus)
    job = retention(bus, RetentionRules.parse("queue.* keep 30d"), SETTINGS)
    thread = threading.Thread(target=job.run)
    thread.start()
    count = 0
    while thread.is_alive():
        bus.publish("evaluation.started", {"eval_id": f"e{count}"}).wait()
        count += 1
    assert count > 10
    settle(bus)
    assert check(bus) == []
    assert [e.sequence for e in recorded(bus).values()][-1] == bus.log.last_sequence


@given(st.lists(st.tuples(st.sampled_from(["a.b", "a.c", "d", "bus.x"]), st.integers(0, 50)),
                min_size=1, max_size=30),
       st.sampled_from(["a.b keep 10d; a.* keep 20d payload 5d", "# keep 15d payload 3d",
                        "d payload 8d; bus.* keep 30d"]))  # fmt: skip
@settings(max_examples=examples(8), deadline=None)
def test_what_remains_is_what_the_rules_say(history: list[tuple[str, int]], text: str) -> None:
    history.sort(key=lambda each: -each[1])
    rules = RetentionRules.parse(text)
    with open_bus("sqlite://") as bus:
        bus.publish_many([{"type": type, "data": {"n": 1}} for type, _ in history])
        age(bus, lambda sequence: history[sequence - 1][1] + 0.5)
        run(bus, text)
        expected: dict[int, bool] = {}
        for sequence, (type, days) in enumerate(history, 1):
            rule, old_s = rules.rule_of(type), (days + 0.5) * 86_400
            is_newest = sequence == len(history)
            if is_newest or rule is None or rule.keep_s is None or old_s <= rule.keep_s:
                is_stripped = (
                    not is_newest
                    and rule is not None
                    and (rule.payload_s is not None and old_s > rule.payload_s)
                )
                expected[sequence] = is_stripped
        assert {n: event.is_stripped for n, event in recorded(bus).items()} == expected


@pytest.mark.sqlite
def test_a_backup_has_a_baseline_that_is_not_ahead_of_it(bus: EventBus, tmp_path: Path) -> None:
    install(bus, SETTINGS)
    publish(bus, "queue.task.added", 9, task_id="t")
    settle(bus)
    age(bus)
    run(bus, "# keep 30d")
    make_backup(bus.log.path, tmp_path / "copy.db")
    with open_bus(f"sqlite:///{tmp_path / 'copy.db'}") as copy:
        install(copy, SETTINGS)
        assert check(copy) == []
    ahead = sqlite3.connect(baseline_path(bus.log))
    with ahead:
        ahead.execute("UPDATE fold_position SET position = 1000")
    ahead.close()
    with pytest.raises(BackupError, match="make the backup again"):
        make_backup(bus.log.path, tmp_path / "second.db")
    assert not list(tmp_path.glob("second*"))
