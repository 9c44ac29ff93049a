"""Retries and dismissals of many evaluations at once: counted, told, stopped, gone on with."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import EventBus, Pattern
from eventbus.errors import OperationError
from eventbus.log import Operation
from handlers import Handlers, HandlerSettings, install
from handlers.evaluation import InboxSelection
from handlers.evaluation.requests import retry_now
from handlers.rebuild import rebuild
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.waiting import wait_until

ALL = InboxSelection()
# One event, and then none for longer than any test takes.
SLOWLY = 0.0001


def exhaust(bus: EventBus, *ids: str, error: str = "KeyError") -> None:
    bus.publish_many(
        {"type": "evaluation.exhausted", "data": {"eval_id": id, "error": {"type": error}}}
        for id in ids
    )
    assert bus.drain(LONG_S)


def ended(bus: EventBus, operation: Operation) -> tuple[str, int, int, int]:
    assert bus.operations.wait(operation.id, LONG_S)
    assert bus.drain(LONG_S)
    now = bus.operations.get(operation.id)
    assert now is not None
    return now.state, now.total, now.done, now.skipped


def has_done(bus: EventBus, operation: Operation, count: int) -> None:
    def done() -> bool:
        now = bus.operations.get(operation.id)
        return now is not None and now.done == count

    wait_until(done, f"{count} are dealt with", LONG_S)


def told(bus: EventBus, type: str) -> list[dict[str, Any]]:
    return [event.data for event in bus.log.read(0, 1_000, Pattern(type)).events]


def left(handlers: Handlers) -> list[str]:
    return [id for _, id in handlers.inbox.select(ALL, 100, can_be_retried=True)]


def test_all_of_a_class_of_error_are_retried_and_it_is_told_by_whom(
    bus: EventBus, handlers: Handlers
) -> None:
    exhaust(bus, *(f"e-{n}" for n in range(450)))
    exhaust(bus, "other", error="TimeoutError")
    chosen = InboxSelection(error_class="KeyError")
    operation = handlers.decisions.retry(chosen, "ann", "the key is there")
    assert ended(bus, operation) == ("finished", 450, 450, 0)
    assert left(handlers) == ["other"]
    retries = bus.log.read(0, 1_000, Pattern("evaluation.retry")).events
    assert {event.data["eval_id"] for event in retries} == {f"e-{n}" for n in range(450)}
    assert {(e.data["by"], e.data["operation"], e.causationid) for e in retries} == {
        ("ann", operation.id, operation.event_id)
    }
    (began,), (over,) = told(bus, "bus.retry.started"), told(bus, "bus.retry.finished")
    selection = {"error_class": "KeyError", "last": handlers.inbox.last()}
    assert began == {
        "operation": operation.id, "by": "ann", "reason": "the key is there", "total": 450,
        "selection": selection,
    }  # fmt: skip
    assert (over["done"], over["skipped"]) == (450, 0)


def test_what_becomes_of_the_retried_is_counted(bus: EventBus, handlers: Handlers) -> None:
    exhaust(bus, "a", "b", "c")
    operation = handlers.decisions.retry(InboxSelection(("a", "b")), "ann")
    assert ended(bus, operation) == ("finished", 2, 2, 0)
    assert handlers.inbox.outcomes(operation.id) == {"retrying": 2}
    for type, id in (("started", "a"), ("completed", "a"), ("exhausted", "b")):
        bus.publish(f"evaluation.{type}", {"eval_id": id, "retry_count": 1})
    assert bus.drain(LONG_S)
    assert handlers.inbox.outcomes(operation.id) == {"completed": 1, "exhausted": 1}
    page = handlers.inbox.decided(operation.id, 1)
    rest = handlers.inbox.decided(operation.id, 1, page.next)
    assert [item.eval_id for item in (*page.items, *rest.items)] == ["b", "a"]
    assert rest.items[0].closed_type == "evaluation.completed"
    after = handlers.decisions.dismiss(ALL, "bob", "known")
    assert ended(bus, after) == ("finished", 2, 2, 0)
    assert handlers.inbox.outcomes(operation.id) == {"completed": 1}
    assert rebuild(bus, HandlerSettings(), is_check=True).run().examples == ()


def test_one_that_is_stopped_leaves_the_rest_as_it_was(bus: EventBus, handlers: Handlers) -> None:
    exhaust(bus, "a", "b", "c")
    operation = handlers.decisions.retry(ALL, "ann", rate=SLOWLY)
    has_done(bus, operation, 1)
    bus.operations.stop(operation.id, "bob")
    assert ended(bus, operation) == ("stopped", 3, 1, 0)
    assert left(handlers) == ["b", "c"]
    assert [each["stopped_by"] for each in told(bus, "bus.retry.stopped")] == ["bob"]


def test_it_goes_on_after_a_restart_where_it_was(url: str) -> None:
    with open_bus(url) as bus:
        handlers = install(bus)
        exhaust(bus, "a", "b", "c")
        operation = handlers.decisions.retry(ALL, "ann", rate=SLOWLY)
        has_done(bus, operation, 1)
    with open_bus(url) as bus:
        handlers = install(bus)
        has_done(bus, operation, 2)
        assert bus.drain(LONG_S)
        assert left(handlers) == ["c"]
        assert [each["eval_id"] for each in told(bus, "evaluation.retry")] == ["a", "b"]
        bus.operations.stop(operation.id, "ann")


def test_what_comes_while_it_runs_is_not_part_of_it(bus: EventBus, handlers: Handlers) -> None:
    exhaust(bus, "a", "b")
    operation = handlers.decisions.retry(ALL, "ann", rate=10.0)
    exhaust(bus, "later")
    assert ended(bus, operation) == ("finished", 2, 2, 0)
    assert left(handlers) == ["later"]


def test_what_somebody_else_retries_meanwhile_is_skipped(bus: EventBus, handlers: Handlers) -> None:
    exhaust(bus, "a", "b")
    bus.pauses.pause("evaluation", "ann")  # so that the inbox does not know of it yet
    found = handlers.evaluations.get("b")
    assert found is not None
    retry_now(bus, found, "bob")
    operation = handlers.decisions.retry(ALL, "ann")
    assert bus.operations.wait(operation.id, LONG_S)
    bus.pauses.resume("evaluation", "ann")
    assert ended(bus, operation) == ("finished", 2, 1, 1)
    assert [each["by"] for each in told(bus, "evaluation.retry")] == ["bob", "ann"]


def test_all_are_dismissed_for_a_reason_and_none_without(bus: EventBus, handlers: Handlers) -> None:
    exhaust(bus, "a", "b")
    with pytest.raises(OperationError, match="reason"):
        handlers.decisions.dismiss(ALL, "ann", " ")
    operation = handlers.decisions.dismiss(ALL, "ann", "left by a test")
    assert ended(bus, operation) == ("finished", 2, 2, 0)
    assert handlers.inbox.open_count() == 0
    closed = handlers.inbox.closed().items
    assert [(item.closed_by, item.reason) for item in closed] == [("ann", "left by a test")] * 2
    chain = bus.log.read(0, 100, Pattern("evaluation.dismissed")).events
    assert {event.correlationid for event in chain} == {operation.event_id}
