"""A dry run on the built-in handlers: it tells what then happens, and leaves no trace."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from eventbus import Event, EventBus
from eventbus.dryrun import DryRunResult
from eventbus.errors import DryRunError, OverlayError
from eventbus.log.ground import FileGround, open_ground
from eventbus.log.overlay import Overlay
from eventbus.scheduled import ScheduledEvent
from handlers import EvaluationHandler, Handlers, install
from handlers.dryrun import dry_run
from handlers.tables import metadata
from tests.helpers.bus import LONG_S
from tests.helpers.examples import examples
from tests.helpers.read_models import SETTINGS, events, tables
from tests.helpers.waiting import within

TIMES = {"time", "bucket", "first_seen", "last_seen"}


def foresee(bus: EventBus, type: str, data: dict[str, Any], **more: Any) -> DryRunResult:
    event = Event.create(type, data, **{"source": "/tests", **more})
    return dry_run(bus, SETTINGS, "/tests").run([event])


def publish(bus: EventBus, type: str, data: dict[str, Any]) -> None:
    bus.publish(type, data)
    bus.drain(LONG_S)


def files_of(path: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.iterdir()
        if not file.name.endswith("-shm")  # the marks of who reads: shared memory, no data
    }


def timeless(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the times, which nobody can foresee."""
    columns = metadata.tables[table].c
    return tuple(
        None if column.name in TIMES or column.name.endswith("_at") else value
        for column, value in zip(columns, row, strict=True)
    )


def without_times(found: dict[str, set[Any]]) -> dict[str, set[Any]]:
    return {name: {timeless(name, row) for row in rows} for name, rows in found.items()}


def after(before: dict[str, set[Any]], result: DryRunResult) -> dict[str, set[Any]]:
    """The tables as the dry run says that they will be."""
    rows = {name: {timeless(name, row) for row in own} for name, own in before.items()}
    for change in result.changes:
        if change.before is not None:
            rows[change.table].discard(timeless(change.table, tuple(change.before.values())))
        if change.after is not None:
            rows[change.table].add(timeless(change.table, tuple(change.after.values())))
    return rows


@given(st.lists(events, min_size=1, max_size=8), events)
@settings(max_examples=examples(6), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_foreseen_is_what_then_happens(
    past: list[dict[str, Any]], next_one: dict[str, Any]
) -> None:
    with EventBus.open("sqlite://") as bus:
        install(bus, SETTINGS)
        bus.publish_many([{**each, "source": "/tests"} for each in past])
        assert bus.drain(LONG_S)
        before, end = tables(bus), bus.log.last_sequence

        event = Event.create(**next_one, source="/tests")
        result = dry_run(bus, SETTINGS, "/tests").run([event])
        assert result.sequence == end
        assert result.bound is None

        bus.publish_event(event)
        assert bus.drain(LONG_S)
        recorded = bus.log.read(end + 1).events
        assert [(f.event.type, f.event.data) for f in result.further] == [
            (event.type, event.data) for event in recorded
        ]
        assert after(before, result) == without_times(tables(bus))


@pytest.mark.sqlite  # it compares files
def test_nothing_of_it_remains(
    bus: EventBus, handlers: Handlers, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bus, "evaluation.started", {"eval_id": "e1"})
    path = Path(url.removeprefix("sqlite:///"))
    before, version, end = files_of(path), bus.log.version, bus.log.last_sequence
    rows, counters = tables(bus), handlers.counters()
    heard: list[Any] = []
    bus.log.add_listener(heard.append)
    caplog.set_level(logging.INFO)

    error = {"type": "CUDA", "severity": "critical"}
    result = foresee(bus, "evaluation.failed", {"eval_id": "e1", "error": error})
    foresee(bus, "alert.resolved", {"alert_id": "nobody", "by": "ana"})
    foresee(bus, "evaluation.started", {"eval_id": "e2"})

    assert [f.event.type for f in result.further] == ["alert.critical", "evaluation.retry"]
    assert files_of(path) == before
    assert (bus.log.version, bus.log.last_sequence) == (version, end)
    assert (tables(bus), handlers.counters()) == (rows, counters)
    assert heard == []
    assert bus.log.schedules.page().events == []
    assert [each.message for each in caplog.records if each.name.startswith("eventbus")] == []


def test_a_handler_that_would_fail_is_told_with_its_error(
    bus: EventBus, handlers: Handlers
) -> None:
    (foreseen,) = foresee(bus, "evaluation.started", {"model": "m"}, subject="s").given
    (trial,) = foresee(bus, "evaluation.started", {"eval_id": 7.5}, subject="s").given[0].trials
    assert foreseen.trials[0].outcome in ("would_succeed", "would_fail")
    assert trial.outcome == "would_fail"
    assert trial.error_class == "MalformedEventError"
    assert "eval_id" in (trial.error_message or "")
    assert "dead letter at once" in (trial.reason or "")


def test_handlers_of_others_are_named_and_never_run(bus: EventBus, handlers: Handlers) -> None:
    mails: list[str] = []
    bus.subscribe("alert.*", lambda event: mails.append(event.type), name="mail")
    bus.subscribe("alert.critical", lambda event: None, name="gone")
    bus.detach("gone")
    result = foresee(bus, "alert.critical", {"service": "s", "error": {"type": "X"}})
    told = {trial.name: (trial.outcome, trial.reason) for trial in result.given[0].trials}
    assert told["alert"][0] == "would_succeed"
    assert told["mail"] == ("not_run", "not run in a preview: what it does cannot be taken back")
    assert told["gone"] == ("not_run", "nothing serves it now: it would wait")
    assert mails == []


def test_a_known_id_and_a_later_time_are_told(bus: EventBus, handlers: Handlers) -> None:
    known = bus.publish("evaluation.started", {"eval_id": "e1"}, source="/tests").wait(LONG_S)
    again = foresee(bus, "evaluation.started", {"eval_id": "e1"}, id=known.id)
    assert again.given[0].is_duplicate
    assert again.changes == []
    later = ScheduledEvent.of(
        Event.create("evaluation.started", {"eval_id": "e2"}, source="/tests"),
        delay=60,
        is_timed=False,
    )
    (foreseen,) = dry_run(bus, SETTINGS, "/tests").run([later]).given
    assert foreseen.at is not None
    assert foreseen.event.time == foreseen.at
    assert foreseen.trials[0].outcome == "would_succeed"


def test_it_neither_waits_for_the_writer_nor_makes_it_wait(
    bus: EventBus, handlers: Handlers
) -> None:
    publish(bus, "evaluation.started", {"eval_id": "e1"})
    found: list[DryRunResult] = []

    def meanwhile(conn: Any) -> None:  # holds the commit lock and the database's
        conn.exec_driver_sql("UPDATE handler_counters SET value = value")
        thread = threading.Thread(
            target=lambda: found.append(foresee(bus, "evaluation.completed", {"eval_id": "e1"}))
        )
        thread.start()
        thread.join(LONG_S)

    bus.log.between_commits(meanwhile)
    assert [f.event.type for f in found[0].further] == ["cleanup.evaluation"]
    with open_ground(bus.log, metadata.sorted_tables, lambda: False) as ground:
        Overlay(ground, metadata.sorted_tables)
        publish(bus, "evaluation.completed", {"eval_id": "e1"})
    assert handlers.counters()["completed"] == 1


def test_a_handler_that_hangs_is_cut_off_and_nobody_waits_for_it(
    bus: EventBus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Event()

    async def hang(self: EvaluationHandler, event: Event) -> None:
        entered.set()
        await asyncio.sleep(LONG_S)

    found: list[DryRunResult] = []
    event = Event.create("evaluation.started", {"eval_id": "e1"}, source="/tests")
    run = dry_run(bus, SETTINGS, "/tests")
    monkeypatch.setattr(EvaluationHandler, "handle", hang)
    thread = threading.Thread(target=lambda: found.append(run.run([event], within_s=within(1.0))))
    thread.start()
    assert entered.wait(LONG_S)
    publish(bus, "alert.warning", {"service": "s", "error": "meanwhile"})
    assert handlers.counters()["open_alerts"] == 1
    thread.join(LONG_S)
    (trial,) = found[0].given[0].trials
    assert (trial.outcome, trial.reason) == (
        "not_run", "it was not done in the time for a dry run",
    )  # fmt: skip


def test_the_database_cannot_be_written_to_from_within(bus: EventBus, handlers: Handlers) -> None:
    with pytest.raises(OverlayError, match="cannot be read"):
        FileGround(bus.log.path.with_name("nowhere.db"), [], lambda: False)
    publish(bus, "evaluation.started", {"eval_id": "e1"})
    before = handlers.counters()
    everything = metadata.sorted_tables
    removal = delete(metadata.tables["handler_counters"])
    with (
        open_ground(bus.log, everything, lambda: False) as ground,
        pytest.raises((DBAPIError, OverlayError), match="read-?only"),
    ):
        ground.rows(removal, {})
    with open_ground(bus.log, everything, lambda: False) as ground:
        conn = Overlay(ground, everything).conn
        conn.execute(removal)
        with pytest.raises(DBAPIError, match="readonly|no such table"):
            conn.exec_driver_sql("DELETE FROM events")
    assert handlers.counters() == before


def test_time_and_number_are_bounded(bus: EventBus, handlers: Handlers) -> None:
    run = dry_run(bus, SETTINGS, "/tests")
    late = run.run([Event.create("evaluation.started", {"eval_id": "e"}, source="/t")], within_s=0)
    assert "the time for a dry run is up" in (late.bound or "")
    assert late.given[0].trials == []

    stopped, reached = threading.Event(), threading.Semaphore(0)

    def hold(run: Callable[[], Any]) -> None:
        reached.release()
        stopped.wait(LONG_S)

    for _ in range(2):
        held = dry_run(bus, SETTINGS, "/tests")
        held._install = hold  # type: ignore[method-assign, assignment]
        threading.Thread(target=held.run, args=([],), daemon=True).start()
        reached.acquire(timeout=LONG_S)
    with pytest.raises(DryRunError, match="2 dry runs are under way"):
        foresee(bus, "evaluation.started", {"eval_id": "e"})
    stopped.set()
