"""The list of evaluations: every filter and order, paged without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from eventbus import EventBus
from eventbus.errors import CursorError
from eventbus.log.cursor import encode_cursor
from handlers import Handlers, install
from handlers.evaluation import EvaluationQuery
from handlers.evaluation.listing import SORTS, Order, Sort
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.databases import fresh_url

COUNT = 24


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def handlers(request: pytest.FixtureRequest) -> Iterator[Handlers]:
    with fresh_url(request.param, has_read_models=True) as url, open_bus(url) as bus:
        found = install(bus)
        _fill(bus)
        yield found


def _fill(bus: EventBus) -> None:
    """Every third has failed, every third completed, the rest runs; some have no task."""
    events: list[dict[str, Any]] = []
    for n in range(COUNT):
        named = {"task": f"t{n % 2}"} if n % 4 else {}
        data = {"eval_id": f"e{n * 7 % COUNT:02d}", "model": f"m{n % 3}", **named}
        at = f"2026-01-01T00:00:{n:02d}Z"
        events.append({"type": "evaluation.started", "data": data, "time": at})
        later = f"2026-01-01T00:01:{n * 5 % 60:02d}Z"
        if n % 3 == 0:
            error = {"type": "Odd", "message": f'100% "quoted" n{n}_x'}
            failed = {**data, "error": error}
            events.append({"type": "evaluation.failed", "data": failed, "time": later})
        if n % 3 == 1:
            events.append({"type": "evaluation.completed", "data": data, "time": later})
    bus.publish_many(events)
    assert bus.drain(LONG_S)


def _ids(handlers: Handlers, **asked: Any) -> list[str]:
    page = handlers.evaluations.search(EvaluationQuery(**asked, limit=5))
    found = [each.eval_id for each in page.items]
    while page.next is not None:
        page = handlers.evaluations.search(EvaluationQuery(**asked, limit=5, cursor=page.next))
        assert page.items
        found += [each.eval_id for each in page.items]
    return found


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("sort", SORTS)
def test_every_order_pages_through_all_of_them_once(
    handlers: Handlers, sort: Sort, order: Order
) -> None:
    found = _ids(handlers, sort=sort, order=order)
    assert sorted(found) == [f"e{n:02d}" for n in range(COUNT)]
    if sort in ("eval_id", "task", "model", "state", "attempt"):
        values = [getattr(handlers.evaluations.get(id), sort) or "" for id in found]
        assert values == sorted(values, reverse=order == "desc")


def test_the_longest_running_come_before_the_longest_that_have_ended(handlers: Handlers) -> None:
    found = [handlers.evaluations.get(id) for id in _ids(handlers, sort="elapsed")]
    states = [each.state for each in found if each]
    assert states[: COUNT // 3] == ["active"] * (COUNT // 3)
    running = [each.started_at for each in found[: COUNT // 3] if each and each.started_at]
    assert running == sorted(running)
    took = [each.finished_at - each.started_at for each in found[COUNT // 3 :]
            if each and each.finished_at and each.started_at]  # fmt: skip
    assert took == sorted(took, reverse=True)


@pytest.mark.parametrize("sort", ["started", "elapsed"])
def test_filters_hold_together_in_every_order(handlers: Handlers, sort: Sort) -> None:
    every = [handlers.evaluations.get(f"e{n:02d}") for n in range(COUNT)]
    asked: dict[str, Any] = {"state": "completed", "task": "t1", "model": "m1"}
    expected = {
        each.eval_id for each in every
        if each and (each.state, each.task, each.model) == ("completed", "t1", "m1")
    }  # fmt: skip
    assert expected
    assert set(_ids(handlers, sort=sort, **asked)) == expected
    counts = handlers.evaluations.count_by_state(EvaluationQuery(**asked))
    assert counts["completed"] == len(expected)
    assert sum(counts.values()) == sum(
        1 for each in every if each and (each.task, each.model) == ("t1", "m1")
    )


@pytest.mark.parametrize(("text", "count"), [
    ("e0", 10), ("E0", 10), ('"quoted"', 8), ("100%", 8), ("0_", 1), ("1%0", 0), ("n21_X", 1),
])  # fmt: skip
def test_a_text_is_found_in_ids_and_errors_letter_by_letter(
    handlers: Handlers, text: str, count: int
) -> None:
    assert len(_ids(handlers, text=text)) == count


def test_the_names_to_choose_from_are_those_that_there_are(handlers: Handlers) -> None:
    assert handlers.evaluations.names() == {"task": ["t0", "t1"], "model": ["m0", "m1", "m2"]}


@pytest.mark.parametrize("sort", ["attempt", "elapsed"])
def test_a_cursor_beyond_all_numbers_of_the_list_is_its_end(handlers: Handlers, sort: Sort) -> None:
    beyond = encode_cursor(2**63 - 1, 1)
    assert _ids(handlers, sort=sort, order="asc", cursor=beyond) == []


@pytest.mark.parametrize("cursor", ["x", "MQ", "MS4xLjE", "OTk5OTk5OTk5OS4x"])
def test_a_cursor_of_another_list_is_refused(handlers: Handlers, cursor: str) -> None:
    with pytest.raises(CursorError):
        _ids(handlers, sort="state", cursor=cursor)
