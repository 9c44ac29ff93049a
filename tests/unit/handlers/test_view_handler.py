"""Saved views are what the events say, whatever two people do at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventbus import EventBus
from handlers import Handlers, install
from handlers.rebuild import rebuild
from handlers.view import MOST_VIEWS, name_problem
from tests.helpers.bus import LONG_S


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    with EventBus.open(url) as bus:
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus)


def tell(bus: EventBus, action: str, **data: object) -> None:
    bus.publish(f"dashboard.view.{action}", {**data, "by": "test"}).deliveries(LONG_S)


def shown(handlers: Handlers) -> dict[str, str]:
    return {view.name: view.type for view in handlers.views.all()}


def test_a_view_is_saved_changed_renamed_and_deleted(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "saved", name="queues", type="queue.*")
    tell(bus, "saved", name="Alerts", type="alert.*")
    assert list(shown(handlers)) == ["Alerts", "queues"]
    tell(bus, "saved", name="queues", type="queue.task.*")
    tell(bus, "renamed", name="queues", to="tasks")
    assert shown(handlers) == {"Alerts": "alert.*", "tasks": "queue.task.*"}
    tell(bus, "deleted", name="Alerts")
    assert shown(handlers) == {"tasks": "queue.task.*"}
    tasks = handlers.views.get("tasks")
    assert tasks is not None and tasks.by == "test"


def test_what_contradicts_the_views_changes_nothing(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "saved", name="a", type="a.*")
    tell(bus, "saved", name="b", type="b.*")
    tell(bus, "renamed", name="a", to="b")
    tell(bus, "renamed", name="nobody", to="c")
    tell(bus, "deleted", name="nobody")
    assert shown(handlers) == {"a": "a.*", "b": "b.*"}
    assert handlers.counters()["dead_letters"] == 0


def test_there_is_an_end_to_views(bus: EventBus, handlers: Handlers) -> None:
    for number in range(MOST_VIEWS + 1):
        tell(bus, "saved", name=f"view {number}", type="a.*")
    assert len(shown(handlers)) == MOST_VIEWS


@pytest.mark.parametrize(
    "data",
    [
        {"name": "", "type": "a.*"},
        {"name": "x" * 61, "type": "a.*"},
        {"name": "a\nb", "type": "a.*"},
        {"name": 7, "type": "a.*"},
        {"name": "good", "type": "a*"},
        {"name": "good"},
    ],
)
def test_what_is_no_view_is_a_dead_letter(
    bus: EventBus, handlers: Handlers, data: dict[str, object]
) -> None:
    tell(bus, "saved", **data)
    assert shown(handlers) == {}
    assert handlers.counters()["dead_letters"] == 1


def test_views_can_be_made_afresh_from_the_log(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "saved", name="queues", type="queue.*")
    tell(bus, "renamed", name="queues", to="tasks")
    checked = rebuild(bus, is_check=True).run()
    assert (checked.state, checked.differences) == ("done", 0)


def test_a_name_that_cannot_be_read_has_a_problem() -> None:
    assert name_problem("Failures of tonight, ✓") is None
    for name in (" a", "a ", "a\nb", "a\u202eb", None):
        assert name_problem(name) is not None
