"""The graph of what was observed: types, the handlers that got them, and what those caused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from eventbus.histogram import percentile_ms
from eventbus.log.flow_figures import FlowFigures

Kind = Literal["type", "family", "handler"]
State = Literal["active", "quiet", "failing"]

# With more types than this, those of a family are drawn as one.
MOST_TYPES = 24
# What was not seen for so long before the window is not drawn any more.
_REMEMBERED = timedelta(days=30)
# From this share of attempts on, an edge is failing: one failure among thousands is no alarm.
FAILING_SHARE = 0.01


@dataclass(slots=True)
class Node:
    """A type, a family of types (its name ends in ``.*``) or a handler."""

    key: str
    kind: Kind
    name: str
    count: int = 0
    failures: int = 0
    types: list[str] = field(default_factory=list)
    last_at: datetime | None = None
    took: Counter[int] = field(default_factory=Counter)

    @property
    def state(self) -> State:
        return _state(self.count, self.failures)

    @property
    def p95_ms(self) -> float | None:
        return percentile_ms(self.took, 95)


@dataclass(slots=True)
class Edge:
    """Deliveries of a type to a handler (``handled``), or events that followed (``caused``)."""

    source: str
    target: str
    kind: Literal["handled", "caused"]
    count: int = 0
    failures: int = 0
    took: Counter[int] = field(default_factory=Counter)
    last_at: datetime | None = None
    is_failing: bool = False
    """Of a folded one: whether any of its types fails, however often the others do not."""

    @property
    def state(self) -> State:
        return "failing" if self.is_failing else _state(self.count, self.failures)

    def percentile_ms(self, percent: float) -> float | None:
        """How long successful deliveries took; None of what was caused."""
        return percentile_ms(self.took, percent)


@dataclass(slots=True)
class Graph:
    """Nodes by key and edges by source and target, in the order of their names."""

    nodes: dict[str, Node]
    edges: dict[tuple[str, str], Edge]
    families: list[str]
    """Those that are drawn as one node now."""


def build(
    figures: FlowFigures, *, is_grouped: bool | None = None, opened: Collection[str] = ()
) -> Graph:
    """The graph of a window's figures.

    ``is_grouped``: whether the types of a family are one node (None: when there are many types);
    those of the families ``opened`` stay apart.
    """
    oldest = figures.since - _REMEMBERED
    recorded = [each for each in figures.recorded if each.last_at >= oldest]
    names = {each.type for each in recorded}
    names |= {each.type for each in figures.handled if each.last_at >= oldest}
    members: dict[str, list[str]] = {}
    for name in sorted(names):
        members.setdefault(name.partition(".")[0], []).append(name)
    if is_grouped is None:
        is_grouped = len(names) > MOST_TYPES
    folded = {
        family for family, own in members.items()
        if is_grouped and len(own) > 1 and family not in opened
    }  # fmt: skip
    builder = _Builder(folded)
    for each in recorded:
        builder.seen(builder.type(each.type), each.count, each.last_at)
    for each in figures.handled:
        if each.last_at >= oldest:
            edge = builder.edge(builder.type(each.type), builder.handler(each.subscription),
                                "handled")  # fmt: skip
            edge.took.update(each.took)
            edge.failures += each.failures
            edge.is_failing |= _state(each.succeeded, each.failures) == "failing"
            builder.passed(edge, each.succeeded, each.last_at)
            handler = builder.nodes[edge.target]
            handler.took.update(each.took)
            handler.failures += each.failures
            builder.seen(handler, each.succeeded, each.last_at)
    for caused in figures.caused:
        if caused.last_at >= oldest:
            by = (
                builder.type(caused.type) if caused.subscription is None
                else builder.handler(caused.subscription)
            )  # fmt: skip
            edge = builder.edge(by, builder.type(caused.caused), "caused")
            builder.passed(edge, caused.count, caused.last_at)
    return Graph(
        dict(sorted(builder.nodes.items())), dict(sorted(builder.edges.items())), sorted(folded)
    )


class _Builder:
    def __init__(self, folded: Collection[str]) -> None:
        self._folded = folded
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Edge] = {}

    def type(self, name: str) -> Node:
        family = name.partition(".")[0]
        if family in self._folded:
            node = self._node("family", f"{family}.*")
            if name not in node.types:
                node.types.append(name)
            return node
        return self._node("type", name)

    def handler(self, name: str) -> Node:
        return self._node("handler", name)

    def edge(self, source: Node, target: Node, kind: Literal["handled", "caused"]) -> Edge:
        key = (source.key, target.key)
        if key not in self.edges:
            self.edges[key] = Edge(source.key, target.key, kind)
        return self.edges[key]

    def seen(self, node: Node, count: int, at: datetime) -> None:
        node.count += count
        node.last_at = max(node.last_at or at, at)

    def passed(self, edge: Edge, count: int, at: datetime) -> None:
        edge.count += count
        edge.last_at = max(edge.last_at or at, at)

    def _node(self, kind: Kind, name: str) -> Node:
        key = f"{kind}:{name}"
        if key not in self.nodes:
            self.nodes[key] = Node(key, kind, name)
        return self.nodes[key]


def _state(count: int, failures: int) -> State:
    if failures and failures >= FAILING_SHARE * (count + failures):
        return "failing"
    return "active" if count or failures else "quiet"


def neighbours(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """The targets of every source."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge.source, []).append(edge.target)
    return found
