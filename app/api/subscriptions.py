"""Who gets what, and how far they are."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.shapes import answer
from app.runtime import runtime

blueprint = Blueprint("subscriptions", __name__)


@blueprint.get("/subscriptions")
def subscriptions() -> Response:
    """Every subscription with its lag (matching events not yet finished) and durations."""
    return answer({"subscriptions": runtime().bus.subscriptions()})
