"""The inbox: what opens an item, what keeps it open, what closes it and says so."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import EventBus
from handlers import HandlerSettings, install
from handlers.evaluation import InboxSelection
from handlers.evaluation.inbox_table import items
from handlers.evaluation.requests import retry_many, retry_now, why_not_retry
from handlers.evaluation.table import evaluations
from handlers.installation import Handlers
from handlers.rebuild import rebuild
from tests.helpers.bus import LONG_S

SETTINGS = HandlerSettings(max_retries=0)
ERROR = {"type": "RateLimitError", "message": "429", "severity": "error"}


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    return install(bus, SETTINGS)


def say(bus: EventBus, type: str, eval_id: str = "e-1", **data: Any) -> int:
    """Publish and wait for what follows; the sequence of the event."""
    receipt = bus.publish(f"evaluation.{type}", {"eval_id": eval_id, **data})
    assert bus.drain(LONG_S)
    return receipt.wait(LONG_S).sequence or 0


def test_an_exhausted_evaluation_is_an_item_until_it_completes(
    bus: EventBus, handlers: Handlers
) -> None:
    say(bus, "started")
    say(bus, "failed", error=ERROR)
    (item,) = handlers.inbox.open().items
    assert (item.eval_id, item.state, item.error["type"]) == ("e-1", "exhausted", "RateLimitError")
    assert handlers.inbox.open_count() == 1

    say(bus, "started", retry_count=1)
    (item,) = handlers.inbox.open().items
    assert (item.state, item.attempt) == ("active", 2), "it is tried again, and that is said"

    completed = say(bus, "completed", retry_count=1)
    assert handlers.inbox.open().items == []
    (closed,) = handlers.inbox.closed().items
    assert (closed.closed_type, closed.closed_sequence) == ("evaluation.completed", completed)
    assert closed.closed_at is not None and closed.closed_at > closed.opened_at
    assert closed.error["message"] == "429", "the evaluation itself has forgotten it"


def test_one_that_fails_again_is_still_the_same_item(bus: EventBus, handlers: Handlers) -> None:
    say(bus, "started")
    first = say(bus, "failed", error=ERROR)
    say(bus, "started", retry_count=1)
    say(bus, "failed", retry_count=1, error={"type": "KeyError"})
    (item,) = handlers.inbox.open().items
    assert item.sequence > first
    assert (item.failed_attempt, item.error) == (2, {"type": "KeyError"})
    assert item.failed_at > item.opened_at


def test_what_succeeds_after_retries_was_never_an_item(bus: EventBus) -> None:
    handlers = install(bus, HandlerSettings(max_retries=1))
    say(bus, "started")
    say(bus, "failed", error=ERROR)
    say(bus, "started", retry_count=1)
    say(bus, "completed", retry_count=1)
    assert (handlers.inbox.open().items, handlers.inbox.closed().items) == ([], [])


def test_a_person_can_dismiss_it_with_a_reason(bus: EventBus, handlers: Handlers) -> None:
    say(bus, "exhausted", error=ERROR)
    dismissed = say(bus, "dismissed", by="ann", reason="a known bug")
    say(bus, "dismissed", by="bob", reason="too late")
    (item,) = handlers.inbox.closed().items
    assert (item.closed_by, item.reason) == ("ann", "a known bug")
    assert (item.closed_type, item.closed_sequence) == ("evaluation.dismissed", dismissed)
    assert handlers.inbox.open_count() == 0


def test_pages_go_on_where_the_one_before_ended(bus: EventBus, handlers: Handlers) -> None:
    for number in range(5):
        say(bus, "exhausted", f"e-{number}")
    first = handlers.inbox.open(3)
    rest = handlers.inbox.open(3, first.next)
    assert [item.eval_id for item in [*first.items, *rest.items]] == [
        "e-4", "e-3", "e-2", "e-1", "e-0"
    ]  # fmt: skip
    assert rest.next is None


def test_they_are_counted_and_listed_by_the_class_of_their_error(
    bus: EventBus, handlers: Handlers
) -> None:
    errors = [ERROR, {"type": "KeyError"}, "TimeoutError: 30 s", None, ERROR]
    for number, error in enumerate(errors):
        say(bus, "exhausted", f"e-{number}", error=error)
    say(bus, "dismissed", "e-4", by="ann", reason="known")
    say(bus, "exhausted", "e-5", error=ERROR)
    assert handlers.inbox.error_classes() == [
        ("RateLimitError", 2), ("KeyError", 1), ("TimeoutError", 1), ("unknown", 1)
    ]  # fmt: skip
    page = handlers.inbox.open(1, error_class="RateLimitError")
    rest = handlers.inbox.open(1, page.next, error_class="RateLimitError")
    assert [item.eval_id for item in (*page.items, *rest.items)] == ["e-5", "e-0"]
    assert rest.next is None


def test_all_that_match_are_those_of_the_question_and_not_what_came_later(
    bus: EventBus, handlers: Handlers
) -> None:
    for number in range(3):
        say(bus, "exhausted", f"e-{number}", error=ERROR)
    say(bus, "exhausted", "other", error="TimeoutError")
    asked = InboxSelection(error_class="RateLimitError", until=handlers.inbox.last())
    say(bus, "exhausted", "later", error=ERROR)
    assert handlers.inbox.count(asked) == 3
    first = handlers.inbox.select(asked, 2)
    rest = handlers.inbox.select(asked, 2, first[-1][0])
    assert [id for _, id in (*first, *rest)] == ["e-0", "e-1", "e-2"]
    picked = InboxSelection(("e-1", "other", "nobody"))
    assert [id for _, id in handlers.inbox.select(picked, 9)] == ["e-1", "other"]


def test_what_can_be_retried_of_many_is_what_can_be_retried_of_each(
    bus: EventBus, handlers: Handlers
) -> None:
    ids = ("out", "asked", "running", "silent", "failed")
    for eval_id in ids:
        say(bus, "exhausted", eval_id, error=ERROR)
    for eval_id in ("running", "silent", "failed"):
        say(bus, "started", eval_id, retry_count=1)
    say(bus, "stalled", "silent")
    say(bus, "failed", "failed", retry_count=1, error=ERROR)
    found = handlers.evaluations.get("asked")
    assert found is not None
    retry_now(bus, found, "ann")
    assert bus.drain(LONG_S)
    can = {
        id for id in ids
        if (each := handlers.evaluations.get(id)) and why_not_retry(each) is None
    }  # fmt: skip
    everything = InboxSelection()
    selected = handlers.inbox.select(everything, 9, can_be_retried=True)
    assert {id for _, id in selected} == can == {"out", "silent", "failed"}
    assert handlers.inbox.count(everything, can_be_retried=True) == 3


def test_many_are_retried_together_and_each_once(bus: EventBus, handlers: Handlers) -> None:
    for number in range(3):
        say(bus, "exhausted", f"e-{number}", error=ERROR)
    found = [each for n in range(3) if (each := handlers.evaluations.get(f"e-{n}"))]
    retry_now(bus, found[1], "ann")
    receipt = retry_many(bus, found, "bob")
    assert receipt.duplicates == [False, True, False]
    assert bus.drain(LONG_S)
    assert [item.state for item in handlers.inbox.open().items] == ["retrying"] * 3


def test_a_long_error_is_cut_and_stays_an_error(bus: EventBus, handlers: Handlers) -> None:
    say(bus, "exhausted", error={"type": "Huge", "message": "x" * 9_000, "traceback": "y" * 9_000})
    (item,) = handlers.inbox.open().items
    assert item.error["type"] == "Huge" and len(item.error["message"]) == 4_000


def test_a_rebuild_gives_the_same_inbox(bus: EventBus, handlers: Handlers) -> None:
    for number in range(3):
        say(bus, "exhausted", f"e-{number}", error=ERROR)
    say(bus, "completed", "e-1")
    say(bus, "dismissed", "e-2", by="ann", reason="known")
    say(bus, "exhausted", "e-2", error=ERROR, attempt=7)
    say(bus, "dismissed", "early", by="ann", reason="there is no item yet")
    say(bus, "exhausted", "early", error=ERROR)
    assert [item.eval_id for item in handlers.inbox.open().items] == ["early", "e-0"]
    assert rebuild(bus, SETTINGS, is_check=True).run().examples == ()
    with bus.log.reading() as conn:
        before = conn.execute(items.select()).all()
    bus.log.between_commits(lambda conn: conn.execute(items.delete()))
    rebuild(bus, SETTINGS).run()
    with bus.log.reading() as conn:
        assert conn.execute(items.select()).all() == before
        assert len(conn.execute(evaluations.select()).all()) == 4
