"""The pages of operations: all of them, and the progress of one, which can be stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.pages.frame import back_to, with_query
from app.pages.retries import PAGE_SIZE, page_of
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import Operation
from eventbus.log.values import DeliveryState

_STATES: tuple[DeliveryState, ...] = (
    "succeeded", "retrying", "pending", "dead", "discarded", "cancelled",
)  # fmt: skip
# While one runs, it is counted what became of so many of its deliveries at most.
_MOST_COUNTED = 5_000
_MOST_COUNTED_AFTER = 100_000
# States of an evaluation in which nothing more comes of its retry.
_ENDED = frozenset({"completed", "exhausted", "cancelled"})

blueprint = Blueprint("operations_page", __name__)


@blueprint.get("/retries/operations")
def operations() -> str:
    """Operations, newest first, with who began them and why."""
    cursor = request.args.get("cursor")
    page = runtime().bus.operations.list(PAGE_SIZE, cursor)
    return page_of(
        "operations", "retries/_operations.html", operations=page.operations,
        next_href=with_query("/retries/operations", cursor=page.next) if page.next else None,
        first_href="/retries/operations" if cursor else None,
    )  # fmt: skip


@blueprint.get("/retries/operations/<int:operation_id>")
def operation(operation_id: int) -> str:
    """One operation: how far it is, how fast, what became of its deliveries, and which they are."""
    found = _found(operation_id)
    did = _delivered(found) if found.is_of_deliveries else _decided(found)
    return page_of(
        "operations", "retries/_operation.html",
        1 if found.state == "running" else did["moving_s"],
        operation=found, **did, **_pace(found),
    )  # fmt: skip


def _delivered(found: Operation) -> dict[str, Any]:
    """One page of the deliveries that it did something to, and what became of all."""
    path = f"/retries/operations/{found.id}"
    state = next((each for each in _STATES if each == request.args.get("state")), None)
    cursor = request.args.get("cursor")
    of = runtime().bus.operations
    page = of.deliveries(found.id, PAGE_SIZE, cursor, state)
    outcomes = found.outcomes
    if found.state == "running":
        outcomes = of.outcomes(found.id, _MOST_COUNTED)
    counts = outcomes or {}
    return {
        "outcomes": outcomes,
        "state": state,
        "letters": page.deliveries,
        "chips": [
            (each, counts[each], with_query(path, state=None if each == state else each))
            for each in _STATES if counts.get(each)
        ],
        "next_href": with_query(path, state=state, cursor=page.next) if page.next else None,
        "first_href": with_query(path, state=state) if cursor else None,
        # While something that was redriven is not handled yet.
        "moving_s": 2 if any(counts.get(each) for each in ("pending", "retrying")) else None,
    }  # fmt: skip


def _decided(found: Operation) -> dict[str, Any]:
    """One page of the evaluations that it decided about, and what became of all."""
    path = f"/retries/operations/{found.id}"
    cursor = request.args.get("cursor")
    box = runtime().handlers.inbox
    page = box.decided(found.id, PAGE_SIZE, cursor)
    most = _MOST_COUNTED if found.state == "running" else _MOST_COUNTED_AFTER
    outcomes = box.outcomes(found.id) if found.done <= most else None
    # The inbox hears of it a moment later, and of what becomes of a retry when that has ended.
    is_told = outcomes is not None and sum(outcomes.values()) >= found.done
    is_over = is_told and (found.kind == "dismissal" or _ENDED.issuperset(outcomes or ()))
    return {
        "outcomes": outcomes,
        "items": page.items,
        "next_href": with_query(path, cursor=page.next) if page.next else None,
        "first_href": path if cursor else None,
        "moving_s": None if is_over else 3,
    }


@blueprint.post("/retries/operations/<int:operation_id>/stop")
def stop(operation_id: int) -> Response:
    """End it after its present step; what it did stays done."""
    found = _found(operation_id)
    runtime().bus.operations.stop(found.id, who())
    return back_to(f"/retries/operations/{found.id}")


def _found(operation_id: int) -> Operation:
    is_possible = operation_id < 2**63
    found = runtime().bus.operations.get(operation_id) if is_possible else None
    if found is None:
        shown = str(operation_id)[:40]
        raise ProblemError(404, "No such operation", f"there is no operation {shown}")
    return found


def _pace(operation: Operation) -> dict[str, Any]:
    """Deliveries a second since the start, and how many seconds the rest takes at that pace."""
    ended = operation.finished_at or datetime.now(UTC)
    took_s = max(0.001, (ended - operation.started_at).total_seconds())
    dealt_with = operation.done + operation.skipped
    pace = dealt_with / took_s
    left = max(0, operation.total - dealt_with)
    return {
        "took_ms": took_s * 1_000,
        "pace": pace,
        # In steps: it is read out, and nobody wants to hear of each delivery.
        "percent": 10 * (10 * dealt_with // max(1, operation.total)),
        "left_ms": left / pace * 1_000 if pace and operation.state == "running" else None,
    }
