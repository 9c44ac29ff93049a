"""The drawing of a graph: to the right where it can, nothing overlaps, always the same."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from app.flow.layout import Box, draw

NODES = [f"n{number}" for number in range(12)]
graphs = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=30)


def overlap(a: Box, b: Box) -> bool:
    return abs(a.x - b.x) < a.width and abs(a.y - b.y) < a.height


@given(graphs)
def test_boxes_never_overlap_and_lie_in_the_drawing(edges: list[tuple[str, str]]) -> None:
    drawing = draw(NODES, edges)
    boxes = list(drawing.boxes.values())
    assert set(drawing.boxes) == set(NODES)
    assert set(drawing.routes) == set(edges)
    for number, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[number + 1 :])
        assert box.x >= 0 and box.x + box.width <= drawing.width
        assert box.y >= 0 and box.y + box.height <= drawing.height


@given(graphs)
def test_edges_go_right_but_for_those_that_close_a_cycle(edges: list[tuple[str, str]]) -> None:
    drawing = draw(NODES, edges)
    for (source, target), route in drawing.routes.items():
        is_right = drawing.boxes[source].x < drawing.boxes[target].x
        assert route.is_back != is_right


@given(graphs, st.randoms())
def test_the_order_of_the_edges_changes_nothing(
    edges: list[tuple[str, str]], shuffle: random.Random
) -> None:
    shuffled = list(edges)
    shuffle.shuffle(shuffled)
    assert draw(NODES, shuffled) == draw(NODES, edges)


def test_a_chain_is_drawn_in_columns_on_one_line() -> None:
    drawing = draw(["a", "b", "c"], [("a", "b"), ("b", "c")])
    a, b, c = (drawing.boxes[node] for node in "abc")
    assert a.x < b.x < c.x and a.y == b.y == c.y


def test_what_leads_only_to_a_late_column_stands_close_before_it() -> None:
    drawing = draw(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])
    assert drawing.boxes["late"].x == drawing.boxes["b"].x


def test_two_pairs_that_could_cross_do_not() -> None:
    drawing = draw(["a", "b", "x", "y"], [("a", "y"), ("b", "x")])
    a, b, x, y = (drawing.boxes[node].y for node in ("a", "b", "x", "y"))
    assert (a < b) == (y < x)


def test_nothing_gives_an_empty_drawing() -> None:
    drawing = draw([], [])
    assert (drawing.boxes, drawing.routes) == ({}, {})
