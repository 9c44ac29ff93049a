"""The graph as it stands on the page: what is written in each box and beside each line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.flow.graph import Edge, Graph, Node, State
from app.flow.layout import Box, Drawing, Point, Route, draw
from app.pages import filters
from app.pages.flow_links import edge_href, node_href
from app.pages.look import family_hue
from app.pages.times import span
from app.pages.window import Window
from eventbus.statistics import SubscriptionStats

_TYPE_CHARS, _HANDLER_CHARS = 27, 24
_THIN, _THICK = 1.25, 4.5
# With more lines than this only those that fail are labelled; every line says its figures when it
# is pointed at or has the focus.
_MOST_LABELS = 40
# Of a label, in the drawing's units: its letters' width, what is above and below its line.
_LETTER, _ABOVE, _BELOW = 6.4, 11, 4
# A red line fails: those of the alerts' family have the hue beside their own.
_HUES = {"red": "orange"}

_Room = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class DrawnNode:
    """A box: ``text`` is its name cut to the room, ``says`` all of it in a sentence."""

    id: str
    node: Node
    box: Box
    href: str
    text: str
    figures: str
    says: str
    hue: str
    state: State
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """A line between two boxes, with a label or none; ``label_at`` is the middle of its line."""

    id: str
    edge: Edge
    route: Route
    source_id: str
    target_id: str
    href: str
    label: str
    label_at: Point
    says: str
    hue: str
    state: State
    width: float


@dataclass(frozen=True, slots=True)
class View:
    """All that is drawn, and the size of the drawing; ``loose`` are types that nobody handles."""

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    width: float
    height: float
    families: list[str]
    loose: list[DrawnNode]


def view(
    graph: Graph, window: Window, opened: list[str], seconds: float,
    subscriptions: Mapping[str, SubscriptionStats],
) -> View:  # fmt: skip
    """Draw a graph; ``seconds`` is how long its window is, for rates."""
    # By family and name, so that what belongs together stands together.
    order = sorted(graph.nodes.values(), key=lambda node: (node.kind == "handler", node.name))
    tied = {key for pair in graph.edges for key in pair}
    drawing = draw([node.key for node in order if node.key in tied], graph.edges)
    most = max((edge.count for edge in graph.edges.values()), default=0)
    nodes = [
        _node(graph.nodes[key], box, window, opened, seconds, subscriptions)
        for key, box in drawing.boxes.items()
    ]
    edges = _labelled(drawing, [
        _edge(edge, graph, drawing.routes[key], window, seconds, most)
        for key, edge in graph.edges.items()
    ])  # fmt: skip
    nowhere = Box(0, 0, 0, 0)
    loose = [
        _node(node, nowhere, window, opened, seconds, subscriptions)
        for node in order if node.key not in tied
    ]  # fmt: skip
    return View(nodes, edges, drawing.width, drawing.height, graph.families, loose)


def _node(
    node: Node, box: Box, window: Window, opened: list[str], seconds: float,
    subscriptions: Mapping[str, SubscriptionStats],
) -> DrawnNode:  # fmt: skip
    rate = pace(node.count, seconds)
    href = node_href(node, window, opened)
    own_id = _id(node.key)
    if node.kind == "handler":
        stats = subscriptions.get(node.name)
        is_paused = stats is not None and stats.state == "paused"
        figures = [rate, f"p95 {span(node.p95_ms)}" if node.took else ""]
        says = f"handler {node.name}: {filters.plural(node.count, 'event')} handled, {rate}"
        if node.took:
            says += f", p95 {span(node.p95_ms)}"
        says += f", {filters.plural(node.failures, 'failure')}"
        if node.failures:
            figures = [rate, f"{filters.count(node.failures)} failed"]
        if stats is not None and stats.lag:
            says += f", {filters.count(stats.lag)} waiting"
        if is_paused:
            figures = ["paused", f"{filters.count(stats.lag)} waiting"] if stats else []
            says += ", paused"
        state: State = "quiet" if is_paused else node.state
        return DrawnNode(
            own_id, node, box, href, _clip(node.name, _HANDLER_CHARS),
            " · ".join(filter(None, figures)), says, "", state, is_paused,
        )  # fmt: skip
    number = filters.plural(node.count, "event")
    kinds = f"{len(node.types)} types, " if node.kind == "family" else ""
    figures_text = f"{rate} · {number}" if node.count else "quiet"
    return DrawnNode(
        own_id, node, box, href, _clip(node.name, _TYPE_CHARS), f"{kinds}{figures_text}",
        f"{node.name}: {kinds}{number}, {rate}",
        family_hue(node.name.partition(".")[0]), node.state,
    )  # fmt: skip


def _edge(
    edge: Edge, graph: Graph, route: Route, window: Window, seconds: float, most: int
) -> DrawnEdge:
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    share = math.log1p(edge.count) / math.log1p(most) if most else 0
    p95 = edge.percentile_ms(95)
    label = f"{filters.count(edge.failures)} failed" if edge.state == "failing" else ""
    if not label and not route.is_back and p95 is not None and len(graph.edges) <= _MOST_LABELS:
        label = span(p95)
    rate = pace(edge.count, seconds)
    says = f"{source.name} → {target.name}: "
    if edge.kind == "handled":
        says += f"{filters.count(edge.count)} handled, {rate}"
        if p95 is not None:
            says += (
                f", p50 {span(edge.percentile_ms(50))}, p95 {span(p95)}, "
                f"p99 {span(edge.percentile_ms(99))}"
            )
        says += f", {filters.plural(edge.failures, 'failed attempt')}"
    else:
        says += f"{filters.plural(edge.count, 'event')} caused, {rate}"
    typed = target if source.kind == "handler" else source
    hue = family_hue(typed.name.partition(".")[0])
    return DrawnEdge(
        f"{_id(edge.source)}--{_id(edge.target)}", edge, route, _id(edge.source),
        _id(edge.target), edge_href(edge, graph, window), label, (0.0, 0.0), says,
        _HUES.get(hue, hue), edge.state,
        round(_THIN + (_THICK - _THIN) * share, 2),
    )  # fmt: skip


def _labelled(drawing: Drawing, edges: list[DrawnEdge]) -> list[DrawnEdge]:
    """Every label where it covers no box and no other label, what fails first; else none.

    A line without its label still says its figures when it is pointed at.
    """
    taken = [
        (box.x, box.y, box.x + box.width, box.y + box.height) for box in drawing.boxes.values()
    ]
    found: dict[str, DrawnEdge] = {}
    for edge in sorted(edges, key=lambda edge: (edge.state != "failing", -edge.edge.count)):
        half = len(edge.label) * _LETTER / 2 + 2
        for x, y in edge.route.labels if edge.label else ():
            room = (x - half, y - _ABOVE, x + half, y + _BELOW)
            if not any(_overlap(room, other) for other in taken):
                taken.append(room)
                found[edge.id] = replace(edge, label_at=(x, y))
                break
        else:
            found[edge.id] = replace(edge, label="")
    return [found[edge.id] for edge in edges]


def _overlap(one: _Room, other: _Room) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def pace(count: int, seconds: float) -> str:
    """How often something happened: ``12.5/s``, ``36/min``, ``4/h``."""
    if not count:
        return "0/s"
    for length, unit in ((1, "s"), (60, "min")):
        if count * length / seconds >= 0.95:
            return f"{filters.rate(count * length / seconds)}/{unit}"
    return f"{filters.rate(count * 3_600 / seconds)}/h"


def _id(key: str) -> str:
    return filters.slug(key)


def _clip(name: str, most: int) -> str:
    """Both ends of a long name: the family and what tells it from its like."""
    if len(name) <= most:
        return name
    head = most // 3
    return f"{name[:head]}…{name[-(most - head - 1) :]}"
