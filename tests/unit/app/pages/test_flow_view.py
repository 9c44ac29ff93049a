"""The graph as it is drawn: labels stand where they cover nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.flow.graph import build
from app.pages.flow_view import DrawnEdge, View, view
from app.pages.window import Window
from eventbus.log.flow_figures import FlowFigures, Handled, Recorded

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def drawn(handled: list[Handled]) -> View:
    figures = FlowFigures(NOW - timedelta(hours=1), NOW, 1)
    figures.handled.extend(handled)
    figures.recorded.extend(Recorded(each.type, 10, NOW) for each in handled)
    return view(build(figures), Window.named("1h"), [], 3_600, {})


def room(edge: DrawnEdge) -> tuple[float, float, float, float]:
    x, y = edge.label_at
    half = len(edge.label) * 3.1
    return x - half, y - 9, x + half, y + 2


def test_labels_of_lines_that_run_together_stand_apart_and_beside_the_boxes() -> None:
    handled = [Handled("one.type", f"handler-{n}", 0, {n: 10 + n}, NOW) for n in range(6)]
    handled += [Handled(f"type.{n}", "handler-0", 0, {5: 10}, NOW) for n in range(6)]
    found = drawn(handled)
    rooms = [room(edge) for edge in found.edges if edge.label]
    rooms += [
        (n.box.x, n.box.y, n.box.x + n.box.width, n.box.y + n.box.height) for n in found.nodes
    ]
    for number, one in enumerate(rooms):
        for other in rooms[number + 1 :]:
            apart = one[0] >= other[2] or other[0] >= one[2]
            assert apart or one[1] >= other[3] or other[1] >= one[3], (one, other)
    assert sum(bool(edge.label) for edge in found.edges) >= 8


def test_what_fails_is_labelled_first() -> None:
    handled = [Handled("one.type", f"handler-{n}", 0, {5: 1_000}, NOW) for n in range(12)]
    handled.append(Handled("one.type", "broken", 7, {5: 1}, NOW))
    labels = {edge.label for edge in drawn(handled).edges}
    assert "7 failed" in labels
