"""Decisions on remembered rows: a commit that fails must never leave a wrong memory in force."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection

from eventbus import EventBus, Pattern
from eventbus.log import EventQuery
from handlers import Handlers
from handlers.committed import CommittedRows
from handlers.evaluation.lifecycle import EvaluationRow
from tests.helpers.bus import LONG_S
from tests.helpers.waiting import wait_until


def row(eval_id: str, last_sequence: int) -> EvaluationRow:
    return EvaluationRow(1, eval_id, "active", 1, 3, last_sequence=last_sequence)


def test_what_is_not_remembered_is_read_together(bus: EventBus) -> None:
    asked: list[list[str]] = []

    def load(conn: Connection, keys: Any) -> dict[str, EvaluationRow]:
        asked.append(sorted(keys))
        return {key: row(key, 1) for key in keys if key != "none"}

    rows = CommittedRows(bus.log, load)

    async def ask() -> list[EvaluationRow | None]:
        return await asyncio.gather(*(rows.get(key, 9) for key in ("a", "b", "none", "a")))

    found = asyncio.run(ask())
    assert asked == [["a", "b", "none"]]
    assert [each and each.eval_id for each in found] == ["a", "b", None, "a"]


def test_a_remembered_row_that_knows_the_event_already_is_read_again(bus: EventBus) -> None:
    rows = CommittedRows(bus.log, lambda conn, keys: {key: row(key, 2) for key in keys})
    rows.remember([("a", row("a", 5))])

    async def ask(sequence: int) -> int:
        found = await rows.get("a", sequence)
        assert found is not None
        return found.last_sequence

    assert asyncio.run(ask(6)) == 5
    assert asyncio.run(ask(5)) == 2
    rows.forget("a")
    assert asyncio.run(ask(6)) == 2


def test_an_error_of_the_database_reaches_every_handler_that_waits(bus: EventBus) -> None:
    def load(conn: Connection, keys: Any) -> dict[str, EvaluationRow]:
        raise OSError("disk")

    rows = CommittedRows(bus.log, load)

    async def ask() -> list[Any]:
        asked = (rows.get(key, 1) for key in "ab")
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(error) for error in asyncio.run(ask())] == [OSError, OSError]


def test_a_commit_that_fails_after_the_change_is_repeated_on_the_true_state(
    bus: EventBus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember = CommittedRows.remember
    failures = [1, 1]

    def break_twice(self: Any, rows: Any) -> None:
        rows = list(rows)
        remember(self, rows)
        if any(row.state == "failed" for _, row in rows) and failures:
            failures.pop()
            raise OSError("the transaction breaks after the row was remembered")

    monkeypatch.setattr(CommittedRows, "remember", break_twice)
    bus.publish("evaluation.started", {"eval_id": "e1"})
    bus.publish("evaluation.failed", {"eval_id": "e1", "error": "x"})
    bus.publish("evaluation.started", {"eval_id": "e1"})

    def is_at_second_attempt() -> bool:
        found = handlers.evaluations.get("e1")
        return found is not None and (found.state, found.attempt) == ("active", 2)

    wait_until(is_at_second_attempt, "the second attempt is active")
    assert bus.drain(LONG_S)
    assert failures == []
    assert (handlers.counters()["failed"], handlers.counters()["dead_letters"]) == (1, 0)
    retries = bus.log.query(EventQuery(pattern=Pattern("evaluation.retry"))).events
    assert [retry["retry_count"] for retry in retries] == [1]


def test_a_decision_on_a_row_that_has_changed_is_taken_again(
    bus: EventBus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = row("e1", 0)
    real = CommittedRows.get
    lies = [stale]

    async def lie_once(self: Any, key: str, sequence: int) -> Any:
        return lies.pop() if lies else await real(self, key, sequence)

    bus.publish("evaluation.progress", {"eval_id": "e1", "done": 1})
    assert bus.drain(LONG_S)
    monkeypatch.setattr(CommittedRows, "get", lie_once)
    event = bus.publish("evaluation.completed", {"eval_id": "e1", "result": 1}).wait()
    wait_until(lambda: handlers.counters()["completed"] == 1, "it is completed")
    (delivery,) = bus.log.deliveries(event.sequence or 0)
    assert [attempt.error_class for attempt in delivery.attempts][0] == "StaleStateError"
    assert delivery.attempt == 2
