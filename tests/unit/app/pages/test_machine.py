"""The state machine of one evaluation: the way it went, as the handler itself would decide it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.machine import SIZES, Shape, draw, visits
from eventbus import Event
from handlers.evaluation.lifecycle import STATES

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def _events(*steps: tuple[str, dict[str, Any]]) -> list[Event]:
    return [
        Event.create(
            f"evaluation.{kind}", {"eval_id": "e-1", **data}, time=START + timedelta(seconds=10 * n)
        ).evolve(sequence=n + 1)
        for n, (kind, data) in enumerate(steps)
    ]


RETRIED = _events(
    ("started", {}), ("failed", {"error": "x"}), ("retry", {"retry_count": 1}),
    ("started", {"retry_count": 1}), ("stalled", {"attempt": 2}), ("progress", {"done": 1}),
    ("completed", {}),
)  # fmt: skip


def test_each_state_is_left_with_the_next_one() -> None:
    found = visits(RETRIED, 3)
    assert [visit.state for visit in found] == [
        "active", "failed", "retrying", "active", "stalled", "active", "completed",
    ]  # fmt: skip
    assert [visit.duration_ms for visit in found] == [10_000] * 6 + [None]


@pytest.mark.parametrize("shape", get_args(Shape))
def test_the_way_is_drawn_with_the_time_in_each_state(shape: Shape) -> None:
    drawing = draw(visits(RETRIED, 3), shape)
    boxes = {box.state: box for box in drawing.boxes}
    assert set(boxes) == set(STATES)
    assert (boxes["active"].visits, boxes["active"].total_ms) == (3, 30_000)
    assert boxes["active"].since is None
    assert boxes["completed"].since == START + timedelta(seconds=60)
    assert (boxes["exhausted"].visits, boxes["exhausted"].total_ms) == (0, None)
    taken = {(edge.source, edge.target): edge.count for edge in drawing.edges if edge.count}
    assert taken == {
        ("active", "failed"): 1, ("failed", "retrying"): 1, ("retrying", "active"): 1,
        ("active", "stalled"): 1, ("stalled", "active"): 1, ("active", "completed"): 1,
    }  # fmt: skip
    assert ("active", "cancelled") in {(edge.source, edge.target) for edge in drawing.edges}


def test_unusual_ways_are_drawn_when_they_were_taken() -> None:
    drawing = draw(visits(_events(("started", {}), ("failed", {}), ("cancelled", {})), 3), "wide")
    assert ("failed", "cancelled") in {(edge.source, edge.target) for edge in drawing.edges}
    assert not [edge for edge in drawing.edges if edge.source == "exhausted"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([
                "started", "progress", "failed", "completed", "retry", "stalled", "exhausted",
                "cancelled",
            ]),
            st.sampled_from([{}, *({"retry_count": n} for n in (-1, 0, 1, 4, "x"))]),
        ),
        max_size=20,
    ),
    st.sampled_from(get_args(Shape)),
)  # fmt: skip
def test_any_history_can_be_drawn_inside_its_frame(
    steps: list[tuple[str, dict[str, Any]]], shape: Shape
) -> None:
    found = visits(_events(*steps), 2)
    drawing = draw(found, shape)
    assert sum(box.visits for box in drawing.boxes) == len(found)
    assert sum(box.since is not None for box in drawing.boxes) == bool(found)
    assert SIZES[shape] == (drawing.width, drawing.height)
    for box in drawing.boxes:
        assert 0 <= box.x < drawing.width - 100 and 0 <= box.y < drawing.height - 46
