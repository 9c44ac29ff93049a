"""The event types that were seen, for whoever completes one: forms, filters, programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask import Blueprint, Response

from app.api.answers.system import Types
from app.api.common import LIMIT
from app.api.shapes import answer
from app.live.traffic import REST
from app.live.type_tree import Node, type_tree
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import operation
from app.pages.look import family_hue
from app.runtime import runtime

_TEXT = Field("q", kinds.raw(), "What the type contains.", example="eval")

blueprint = Blueprint("types", __name__)


@blueprint.get("/types")
@operation("listTypes", "Figures", query=(_TEXT, LIMIT), answers={200: Types})
def types() -> Response:
    """Types that contain ``q``, those that begin with it first, then the most frequent.

    ``patterns`` are wildcards that would match several of all types, by the same rule.
    """
    wanted = (_TEXT.read() or "").lower()
    limit = LIMIT.read()
    seen = runtime().hub.traffic.types()
    found = [
        {
            "type": each.type,
            "count": each.count,
            "rate": each.rate,
            "hue": family_hue(each.type.partition(".")[0]),
        }
        for each in seen
        if each.type != REST and wanted in each.type.lower()
    ]
    found.sort(key=lambda each: not str(each["type"]).lower().startswith(wanted))
    patterns = [
        {"pattern": node.pattern, "count": node.count, "hue": family_hue(node.family)}
        for node in _branches(type_tree(seen).families)
        if node.pattern.lower().startswith(wanted)
    ]
    return answer(
        {"types": found[:limit], "patterns": patterns[:limit], "more": max(0, len(found) - limit)}
    )


def _branches(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.children:
            yield node
            yield from _branches(node.children)
