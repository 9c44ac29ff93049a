"""Where the parts of the flow lead: an edge's events, a handler's page, the history of a type."""

from __future__ import annotations

from app.flow.graph import Edge, Graph, Node
from app.pages.filters import handler_href
from app.pages.frame import with_query
from app.pages.window import Window


def node_href(node: Node, window: Window, opened: list[str]) -> str:
    """A family unfolds, a type leads to its events, a handler to its page."""
    if node.kind == "handler":
        return with_query(handler_href(node.name), **window.query)
    if node.kind == "family":
        families = sorted({*opened, node.name.removesuffix(".*")})
        return with_query("/flow", **window.query, open=",".join(families))
    since = window.name or window.query["since"]
    return with_query("/events", type=node.name, since=since, until=window.query.get("until"))


def edge_href(edge: Edge, graph: Graph, window: Window) -> str:
    """The deliveries of an edge, or the events that a handler caused."""
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    handler = next((each.name for each in (source, target) if each.kind == "handler"), None)
    if edge.kind == "handled":
        return with_query("/flow/edge", type=source.name, handler=handler, **window.query)
    return with_query(
        "/flow/edge", handler=handler, caused=target.name, **window.query,
        type=None if handler else source.name,
    )  # fmt: skip
