"""A failed evaluation waits for its retry as long as the rule for its kind says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row, create_engine, inspect, select

from app.config import Settings, SettingsError
from eventbus import EventBus
from eventbus.replay import ReplayBus
from eventbus.testing import FakeClock
from handlers import Handlers, HandlerSettings, install, replay
from handlers.errors import RetryDelayError
from handlers.evaluation.table import evaluations
from handlers.migrations import MIGRATIONS, _add_retry_at
from handlers.retry_delays import RetryDelay, delay_s, parse_delays
from tests.helpers.bus import recorded

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = parse_delays("math=30s, swe-bench=2m*2, *=5s")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def bus(url: str, clock: FakeClock) -> Iterator[EventBus]:
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus, HandlerSettings(retry_delays=RULES))


@pytest.mark.parametrize(("task", "waits"), [
    ("math", [30, 30, 30]), ("swe-bench", [120, 240, 480]), ("other", [5, 5, 5]), (None, [5, 5, 5]),
])  # fmt: skip
def test_the_wait_is_that_of_the_task_and_grows_by_its_factor(
    task: str | None, waits: list[float]
) -> None:
    assert [delay_s(RULES, task, count) for count in (1, 2, 3)] == waits


def test_without_a_rule_there_is_no_wait_and_none_is_longer_than_a_day() -> None:
    assert delay_s((), "math", 1) == 0
    assert delay_s(parse_delays("math=1h"), "other", 1) == 0
    assert delay_s(parse_delays("a=1h*10"), "a", 500) == 86_400


@pytest.mark.parametrize("text", [
    "math", "math=", "=5s", "math=5", "math=-5s", "math=25h", "math=5s*11", "math=5s*0.5",
    "math=5s*", "math=5d", "math=5s, math=6s", "*=1s,*=1s",
])  # fmt: skip
def test_a_rule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RetryDelayError):
        parse_delays(text)
    with pytest.raises(SettingsError, match="EVENTBUS_RETRY_DELAYS"):
        Settings.from_environment({"EVENTBUS_RETRY_DELAYS": text})


def test_the_environment_gives_the_rules() -> None:
    settings = Settings.from_environment({"EVENTBUS_RETRY_DELAYS": "a/b=x = 1.5m*2 ,*=0s"})
    assert settings.retry_delays == (RetryDelay("a/b=x", 90.0, 2.0), RetryDelay("*", 0.0))


def test_the_retry_comes_after_the_delay_and_until_then_it_is_told_when(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    bus.publish("evaluation.started", {"eval_id": "e", "task": "math"})
    bus.publish("evaluation.failed", {"eval_id": "e", "error": "x"})
    clock.advance(29)
    evaluation = handlers.evaluations.get("e")
    assert evaluation is not None
    assert (evaluation.state, evaluation.attempt) == ("retrying", 2)
    assert evaluation.retry_at == START + timedelta(seconds=30)
    assert "evaluation.retry" not in recorded(bus)
    assert [event.at for event in bus.log.schedules.page().events] == [evaluation.retry_at]
    clock.advance(1)
    assert recorded(bus).count("evaluation.retry") == 1
    evaluation = handlers.evaluations.get("e")
    assert evaluation is not None and evaluation.retry_at is None
    assert (evaluation.state, evaluation.attempt) == ("retrying", 2)
    bus.publish("evaluation.started", {"eval_id": "e", "retry_count": 1})
    clock.advance(0)
    assert handlers.counters()["active"] == 1 and handlers.counters()["retrying"] == 0


def test_each_further_retry_waits_longer_and_after_the_last_there_is_none(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    for count, wait in enumerate((120, 240, 480)):
        data = {"eval_id": "e", "task": "swe-bench", "retry_count": count}
        bus.publish("evaluation.started", data)
        bus.publish("evaluation.failed", {**data, "error": "x"})
        clock.advance(wait - 1)
        assert recorded(bus).count("evaluation.retry") == count
        clock.advance(1)
        assert recorded(bus).count("evaluation.retry") == count + 1
    bus.publish("evaluation.failed", {"eval_id": "e", "retry_count": 3})
    clock.advance(9_999)
    assert recorded(bus).count("evaluation.retry_scheduled") == 3
    assert recorded(bus).count("evaluation.exhausted") == 1


@pytest.mark.parametrize(("type", "state"), [
    ("evaluation.started", "active"), ("evaluation.completed", "completed"),
])  # fmt: skip
def test_a_retry_of_what_has_begun_again_or_ended_is_not_asked_for(
    bus: EventBus, clock: FakeClock, handlers: Handlers, type: str, state: str
) -> None:
    bus.publish("evaluation.started", {"eval_id": "e", "task": "math"})
    bus.publish("evaluation.failed", {"eval_id": "e", "error": "x"})
    clock.advance(10)
    bus.publish(type, {"eval_id": "e", "retry_count": 1, "result": 1})
    clock.advance(100)
    assert "evaluation.retry" not in recorded(bus)
    assert bus.log.schedules.count() == 0
    evaluation = handlers.evaluations.get("e")
    assert evaluation is not None and (evaluation.state, evaluation.retry_at) == (state, None)
    (cancelled,) = [e for e in bus.log.read(0).events if e.type == "bus.schedule.cancelled"]
    assert cancelled["by"] == "/handlers/evaluation"
    assert replay(bus.log, HandlerSettings()) == handlers.counters()


def evaluation_rows(bus: EventBus | ReplayBus) -> list[Row[Any]]:
    with bus.log.reading() as conn:
        return list(conn.execute(select(evaluations).order_by(evaluations.c.eval_id)))


def test_a_replay_gives_the_same_whatever_the_rules_are_by_then(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    for n, task in enumerate(["math", "swe-bench", "other"]):
        bus.publish("evaluation.started", {"eval_id": f"e{n}", "task": task})
        bus.publish("evaluation.failed", {"eval_id": f"e{n}", "error": "x"})
    bus.publish("evaluation.completed", {"eval_id": "e1", "result": 1})
    for step_s in (0, 6, 30, 200):
        clock.advance(step_s)
        assert replay(bus.log, HandlerSettings()) == handlers.counters()
        with ReplayBus(bus.log) as scratch:
            install(scratch, HandlerSettings())  # type: ignore[arg-type]
            scratch.run()
            assert evaluation_rows(scratch) == evaluation_rows(bus)


def test_evaluations_of_an_earlier_version_get_the_column() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as conn:
        for migration in MIGRATIONS[: MIGRATIONS.index(_add_retry_at)]:
            migration(conn)
        conn.exec_driver_sql(
            "INSERT INTO evaluations VALUES (1, 'e', 'active', 1, 3, NULL, NULL, 1, 1, NULL, 1, 0,"
            " NULL, 0, NULL, 1, 1, '0')"
        )
        _add_retry_at(conn)
        assert inspect(conn).get_columns("evaluations")[-1]["name"] == "retry_at"
        assert conn.exec_driver_sql("SELECT retry_at FROM evaluations").scalar() is None
