"""What a person asks of an evaluation: a retry comes now and once, a cancelled one stays so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from eventbus import EventBus
from eventbus.testing import FakeClock
from handlers import Handlers, HandlerSettings, install, replay
from handlers.evaluation import Evaluation
from handlers.evaluation.requests import cancel, retry_now, why_not_cancel, why_not_retry
from handlers.retry_delays import parse_delays
from tests.helpers.bus import recorded


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def bus(url: str, clock: FakeClock) -> Iterator[EventBus]:
    with EventBus.open(url, clock=clock) as bus:
        clock.attach(bus)
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus, HandlerSettings(max_retries=1, retry_delays=parse_delays("slow=60s")))


def tell(bus: EventBus, clock: FakeClock, *kinds: str, task: str = "fast") -> None:
    for kind in kinds:
        name, _, attempt = kind.partition(" ")
        number = {"attempt": int(attempt)} if attempt else {}
        bus.publish(f"evaluation.{name}", {"eval_id": "e", "task": task, **number})
        clock.advance(0)


def found(handlers: Handlers) -> Evaluation:
    evaluation = handlers.evaluations.get("e")
    assert evaluation is not None
    return evaluation


def test_a_scheduled_retry_comes_now_and_not_again_when_it_would_have_been_due(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    tell(bus, clock, "started", "failed", task="slow")
    assert found(handlers).retry_at is not None and recorded(bus).count("evaluation.retry") == 0
    retry_now(bus, found(handlers), "ana").wait()
    again = retry_now(bus, found(handlers), "bob")
    clock.advance(0)
    assert again.duplicate
    assert bus.log.schedules.count() == 0
    assert (found(handlers).state, found(handlers).attempt) == ("retrying", 2)
    assert found(handlers).retry_at is None
    clock.advance(600)
    (retry,) = [event for event in bus.log.read(0).events if event.type == "evaluation.retry"]
    failed = next(event for event in bus.log.read(0).events if event.type == "evaluation.failed")
    assert (retry["by"], retry["retry_count"]) == ("ana", 1)
    assert retry.correlationid == failed.correlationid and retry.causationid == failed.id
    assert replay(bus.log) == handlers.counters()


@pytest.mark.parametrize("settled", [True, False])
def test_any_other_retry_takes_the_scheduled_one_back(
    bus: EventBus, clock: FakeClock, handlers: Handlers, settled: bool
) -> None:
    tell(bus, clock, "started", task="slow")
    data = {"eval_id": "e"}
    retry = {"type": "evaluation.retry", "data": {**data, "retry_count": 1, "by": "a program"}}
    bus.publish("evaluation.failed", data)
    if settled:
        clock.advance(0)
    bus.publish_many([retry])
    clock.advance(600)
    assert recorded(bus).count("evaluation.retry") == 1
    assert bus.log.schedules.count() == 0
    assert (found(handlers).state, found(handlers).attempt) == ("retrying", 2)


def test_a_retry_that_comes_now_stays_in_the_trace_of_the_failure(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    trace, state = f"00-{'a' * 32}-{'b' * 16}-01", {"tracestate": "v=1"}
    tell(bus, clock, "started")
    data = {"eval_id": "e", "error": "x", "task": "slow"}
    bus.publish("evaluation.failed", data, traceparent=trace, extensions=state)
    clock.advance(0)
    event = retry_now(bus, found(handlers), "ana").event
    assert (event.traceparent, event.extensions) == (trace, state)


def test_the_handlers_retry_and_a_persons_are_the_same_one(
    bus: EventBus, clock: FakeClock, handlers: Handlers
) -> None:
    tell(bus, clock, "started")
    seen = found(handlers)  # as on a page that is a moment old
    tell(bus, clock, "failed")
    assert retry_now(bus, seen, "ana").duplicate
    assert recorded(bus).count("evaluation.retry") == 1


@pytest.mark.parametrize(("kinds", "attempt"), [
    (["started", "stalled"], 2), (["started", "cancelled"], 2),
    (["started", "failed", "started 2", "failed 2"], 3),
    (["started", "failed", "cancelled"], 3),
])  # fmt: skip
def test_what_has_ended_badly_or_stalled_is_retried_as_a_further_attempt(
    bus: EventBus, clock: FakeClock, handlers: Handlers, kinds: list[str], attempt: int
) -> None:
    tell(bus, clock, *kinds)
    assert why_not_retry(found(handlers)) is None
    retry_now(bus, found(handlers), "ana").wait()
    clock.advance(0)
    assert (found(handlers).state, found(handlers).attempt) == ("retrying", attempt)
    tell(bus, clock, f"started {attempt}", f"completed {attempt}")
    assert found(handlers).state == "completed"
    assert replay(bus.log, HandlerSettings(max_retries=1)) == handlers.counters()


@pytest.mark.parametrize(("kinds", "retry", "cancel"), [
    (["completed"], "completed", "completed"),
    (["started"], "is running", None),
    (["started", "failed"], "waits for its runner", None),
    (["started", "failed", "started 2", "failed 2"], None, "used up"),
    (["cancelled"], None, "already"),
    (["started", "stalled"], None, None),
])  # fmt: skip
def test_what_cannot_be_asked_says_why(
    bus: EventBus,
    clock: FakeClock,
    handlers: Handlers,
    kinds: list[str],
    retry: str | None,
    cancel: str | None,
) -> None:
    tell(bus, clock, *kinds)
    for said, expected in (
        (why_not_retry(found(handlers)), retry), (why_not_cancel(found(handlers)), cancel),
    ):  # fmt: skip
        assert said is None if expected is None else expected in (said or "")


@pytest.mark.parametrize("settled", [True, False])
def test_cancelling_takes_the_scheduled_retry_back_also_before_it_is_known(
    bus: EventBus, clock: FakeClock, handlers: Handlers, settled: bool
) -> None:
    tell(bus, clock, "started", task="slow")
    if settled:
        tell(bus, clock, "failed")
        cancel(bus, found(handlers), "ana").wait()
    else:  # the cancellation stands in the log between the failure and evaluation.retry_scheduled
        data = {"eval_id": "e"}
        bus.publish_many([
            {"type": "evaluation.failed", "data": data},
            {"type": "evaluation.cancelled", "data": {**data, "by": "ana"}},
        ])  # fmt: skip
    clock.advance(600)
    assert "evaluation.retry" not in recorded(bus)
    assert bus.log.schedules.count() == 0
    assert (found(handlers).state, found(handlers).retry_at) == ("cancelled", None)
    tell(bus, clock, "failed 1", "progress", "started 2")
    assert found(handlers).state == "cancelled"
    assert handlers.counters()["cancelled"] == 1
    assert replay(bus.log) == handlers.counters()
