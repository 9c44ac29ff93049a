"""The observed flow as JSON: nodes and edges of a window of time, with their figures."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from app.api.answers.system import Flow
from app.api.shapes import answer
from app.flow.graph import Edge, Node, build
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import operation
from app.pages.window import Window, WindowError
from app.problems import ProblemError
from app.runtime import runtime

_WINDOW = Field("window", kinds.raw(), "The newest `5m`, `1h`, `7d`, …; `1h` by default.")
_SINCE = Field("since", kinds.raw(), "Where the window begins: a time, or an age like `2h`.")
_UNTIL = Field("until", kinds.raw(), "Where it ends; now when it is left out.")
_GROUP = Field("group", kinds.choice(("type", "family")), "What a node is.", default="type")

blueprint = Blueprint("flow", __name__)


@blueprint.get("/flow")
@operation("getFlow", "Figures", query=(_WINDOW, _SINCE, _UNTIL, _GROUP), answers={200: Flow})
def flow() -> Response:
    """Types, handlers and what flowed between them in ``window`` or ``since`` to ``until``.

    ``group=family`` makes the types of a family one node. ``position`` is the sequence up to
    which events are counted, ``last_sequence`` the log's newest.
    """
    for field in (_WINDOW, _SINCE, _UNTIL):
        field.read()
    group = _GROUP.read()
    try:
        window = Window.read(request.args)
    except WindowError as error:
        raise ProblemError.parameter(error.field, str(error)) from None
    parts = runtime()
    figures = parts.flow.figures(window.since, window.until)
    graph = build(figures, is_grouped=group == "family")
    seconds = figures.lasted_s(window.until)
    return answer(
        {
            "since": figures.since,
            "until": window.until,
            "position": figures.position,
            "last_sequence": parts.bus.log.last_sequence,
            "nodes": [_node(each, seconds) for each in graph.nodes.values()],
            "edges": [_edge(each, seconds) for each in graph.edges.values()],
        }
    )


def _node(node: Node, seconds: float) -> dict[str, Any]:
    return {
        "id": node.key,
        "kind": node.kind,
        "name": node.name,
        "count": node.count,
        "rate": round(node.count / seconds, 4),
        "failures": node.failures,
        "state": node.state,
        "last_at": node.last_at,
    }


def _edge(edge: Edge, seconds: float) -> dict[str, Any]:
    return {
        "from": edge.source,
        "to": edge.target,
        "kind": edge.kind,
        "count": edge.count,
        "rate": round(edge.count / seconds, 4),
        "failures": edge.failures,
        "p50_ms": edge.percentile_ms(50),
        "p95_ms": edge.percentile_ms(95),
        "p99_ms": edge.percentile_ms(99),
        "state": edge.state,
        "last_at": edge.last_at,
    }
