"""Evaluations on a real bus: counters, further events, results, what the read model answers."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from eventbus import Event, EventBus
from eventbus.errors import CursorError
from eventbus.log import Delivery, EventQuery
from eventbus.patterns import Pattern
from handlers import Handlers, HandlerSettings, install, replay
from handlers.evaluation.lifecycle import STATES
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until


def tell(bus: EventBus, *events: tuple[str, dict[str, Any]]) -> None:
    """Publish and wait until all, and all that follows from them, is handled."""
    bus.publish_many({"type": f"evaluation.{kind}", "data": data} for kind, data in events)
    assert bus.drain(LONG_S)


def published(bus: EventBus, pattern: str) -> list[dict[str, Any]]:
    found = bus.log.query(EventQuery(pattern=Pattern(pattern), order="asc", limit=1000)).events
    return [event.data for event in found]


def dead_letter(bus: EventBus, event: Event) -> Delivery | None:
    found = bus.log.deliveries(event.sequence or 0)
    return next((delivery for delivery in found if delivery.state == "dead"), None)


def test_an_evaluation_from_its_start_to_its_result(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, ("started", {"eval_id": "e1", "task": "mmlu", "model": "m", "total": 5}))
    assert handlers.counters()["active"] == 1
    tell(bus, ("progress", {"eval_id": "e1", "done": 2, "errors": 1}))
    running = handlers.evaluations.active()[0]
    assert (running.task, running.done, running.total, running.errors) == ("mmlu", 2, 5, 1)
    tell(bus, ("completed", {"eval_id": "e1", "result": {"accuracy": 0.5}}))
    done = handlers.evaluations.get("e1")
    assert done is not None
    assert (done.state, done.result, done.error) == ("completed", {"accuracy": 0.5}, None)
    assert done.finished_at is not None and done.started_at is not None
    assert published(bus, "cleanup.*") == [{"eval_id": "e1"}]
    assert [data["eval_id"] for data in published(bus, "metrics.*")] == ["e1"]
    assert handlers.counters() == {
        "active": 0, "retrying": 0, "completed": 1, "failed": 0, "exhausted": 0, "stalled": 0,
        "cancelled": 0, "queue_depth": 0, "open_alerts": 0, "dead_letters": 0,
    }  # fmt: skip


def test_failures_lead_to_retries_then_to_exhaustion_and_critical_ones_to_an_alert(
    bus: EventBus, handlers: Handlers
) -> None:
    error = {"type": "OutOfMemory", "message": "no room", "severity": "critical"}
    for retry_count in range(4):
        tell(bus, ("started", {"eval_id": "e1", "retry_count": retry_count}))
        tell(bus, ("failed", {"eval_id": "e1", "retry_count": retry_count, "error": error}))
        if retry_count < 3:
            waiting = handlers.evaluations.retrying()[0]
            assert (waiting.attempt, waiting.error) == (retry_count + 2, error)
    counters = handlers.counters()
    assert (counters["active"], counters["retrying"], counters["exhausted"]) == (0, 0, 1)
    assert (counters["failed"], counters["open_alerts"]) == (4, 1)
    assert [data["retry_count"] for data in published(bus, "evaluation.retry")] == [1, 2, 3]
    assert handlers.alerts.list().items[0].occurrences == 4


def test_the_seeds_bare_failure_without_numbers_is_retried(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, ("started", {"eval_id": "e1"}), ("failed", {"eval_id": "e1", "error": "broken"}))
    tell(bus, ("started", {"eval_id": "e1"}), ("failed", {"eval_id": "e1", "error": "broken"}))
    assert [data["retry_count"] for data in published(bus, "evaluation.retry")] == [1, 2]
    assert handlers.counters()["failed"] == 2


def test_late_duplicate_and_shuffled_events_do_not_make_counters_drift(
    bus: EventBus, handlers: Handlers
) -> None:
    history = []
    for number in range(40):
        id = {"eval_id": f"e{number}"}
        history += [
            ("started", id),
            ("progress", {**id, "done": 1, "total": 2}),
            ("failed", {**id, "retry_count": 0, "error": "x"}),
            ("started", {**id, "retry_count": 1}),
            ("failed", {**id, "retry_count": 1, "error": "x", "max_retries": number % 3}),
            ("completed", {**id, "retry_count": 1, "result": number}),
        ]
        history += random.Random(number).sample(history[-6:], 3)
    random.Random(7).shuffle(history)
    tell(bus, *history)
    counts = handlers.evaluations.counts()
    everything = handlers.evaluations.list(limit=1000).items
    assert len(everything) == 40
    for state in STATES:
        assert counts[state] == sum(each.state == state for each in everything)
    assert counts["completed"] == 40
    assert counts["failures"] == 80
    assert handlers.counters()["dead_letters"] == 0
    assert {each.eval_id: each.result for each in everything} == {f"e{n}": n for n in range(40)}
    assert len(published(bus, "cleanup.*")) == 40


def test_a_burst_of_one_evaluations_events_ends_in_the_right_order(
    bus: EventBus, handlers: Handlers
) -> None:
    steps = [("progress", {"eval_id": "e1", "done": n, "total": 300}) for n in range(300)]
    tell(bus, ("started", {"eval_id": "e1"}), *steps, ("completed", {"eval_id": "e1"}))
    done = handlers.evaluations.get("e1")
    assert done is not None and (done.state, done.done) == ("completed", 299)


def test_sample_events_and_unknown_types_change_nothing(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, ("sample.completed", {"eval_id": "e1"}), ("renamed", {"eval_id": "e1"}))
    assert handlers.evaluations.get("e1") is None
    assert handlers.counters()["dead_letters"] == 0


@pytest.mark.parametrize(
    "data",
    [{}, {"eval_id": ""}, {"eval_id": {}}, {"eval_id": "e", "retry_count": -1},
     {"eval_id": "e", "retry_count": "1"}, {"eval_id": "e", "attempt": 0},
     {"eval_id": "e", "done": 1.5}, {"eval_id": "e", "max_retries": 10**6}],
)  # fmt: skip
def test_an_event_that_cannot_be_understood_ends_as_a_dead_letter_that_says_why(
    bus: EventBus, handlers: Handlers, data: dict[str, Any]
) -> None:
    event = bus.publish("evaluation.started", data).wait()
    delivery = wait_until(lambda: dead_letter(bus, event), "the delivery is a dead letter")
    assert delivery.error_class == "MalformedEventError"
    assert "data." in (delivery.error_message or "")
    assert handlers.counters()["dead_letters"] == 1
    assert handlers.evaluations.list().items == []


def test_an_evaluation_may_be_named_by_a_chosen_subject_or_a_number(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish("evaluation.started", {}, subject="e1")
    bus.publish("evaluation.started", {"eval_id": 42})
    assert bus.drain(LONG_S)
    assert {each.eval_id for each in handlers.evaluations.active()} == {"e1", "42"}


def test_the_start_of_an_attempt_is_in_the_audit_trail_once(
    bus: EventBus, handlers: Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="eventbus.audit"):
        tell(bus, ("started", {"eval_id": "e\n1"}), ("started", {"eval_id": "e\n1"}))
        replay(bus.log)
    lines = [record.getMessage() for record in caplog.records if record.name == "eventbus.audit"]
    assert lines == [r"evaluation 'e\n1' started, attempt 1"]


def test_the_list_is_paged_without_holes_and_by_state(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, *(("started", {"eval_id": f"e{n}"}) for n in range(25)))
    tell(bus, *(("completed", {"eval_id": f"e{n}"}) for n in range(0, 25, 2)))
    seen: list[str] = []
    cursor = None
    while True:
        page = handlers.evaluations.list("active", limit=5, cursor=cursor)
        seen += [each.eval_id for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"e{n}" for n in range(23, 0, -2)]
    assert len(handlers.evaluations.list(limit=100).items) == 25
    with pytest.raises(CursorError):
        handlers.evaluations.list(cursor="nonsense")


def test_state_and_settings_survive_a_restart(url: str) -> None:
    with open_bus(url) as bus:
        install(bus, HandlerSettings(max_retries=1))
        tell(bus, ("started", {"eval_id": "e1"}))
    with open_bus(url) as bus:
        handlers = install(bus, HandlerSettings(max_retries=1))
        tell(bus, ("failed", {"eval_id": "e1", "retry_count": 0, "error": "x"}))
        tell(bus, ("failed", {"eval_id": "e1", "retry_count": 1, "error": "x"}))
        assert handlers.counters()["exhausted"] == 1
        found = handlers.evaluations.get("e1")
        assert found is not None and found.max_retries == 1


def test_more_evaluations_than_are_remembered_are_still_all_known(
    bus: EventBus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.committed._MOST_REMEMBERED", 5)
    tell(bus, *(("started", {"eval_id": f"e{n}"}) for n in range(100)))
    tell(bus, *(("completed", {"eval_id": f"e{n}"}) for n in range(100)))
    assert handlers.counters()["completed"] == 100
    assert len(published(bus, "cleanup.*")) == 100


def test_an_evaluation_with_a_huge_error_goes_on_as_any_other(
    bus: EventBus, handlers: Handlers
) -> None:
    error = {"type": "X", "traceback": "line\n" * 20_000}
    for retry_count in range(4):
        tell(bus, ("started", {"eval_id": "e1", "retry_count": retry_count}))
        tell(bus, ("failed", {"eval_id": "e1", "retry_count": retry_count, "error": error}))
    found = handlers.evaluations.get("e1")
    assert found is not None and (found.state, found.error) == ("exhausted", error)
    assert handlers.counters()["dead_letters"] == 0
