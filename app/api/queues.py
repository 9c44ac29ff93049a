"""The read models of the queue and monitoring handlers."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.shapes import answer
from app.problems import ProblemError
from app.runtime import runtime

blueprint = Blueprint("queues", __name__)


@blueprint.get("/queues")
def queues() -> Response:
    """Every queue: depth, waiting time, throughput, oldest task."""
    return answer({"queues": runtime().handlers.queues.list()})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Every metric with its last value."""
    return answer({"metrics": runtime().handlers.metrics.list()})


@blueprint.get("/metrics/<path:name>")
def metric(name: str) -> Response:
    """The history of one metric, newest first."""
    history = runtime().handlers.metrics.history(name, parameters.limit())
    if not history:
        raise ProblemError(404, "Not Found", f"there is no metric {name[:100]!r}")
    return answer({"name": name, "history": history})
