"""The read models of the queue and monitoring handlers."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api.answers.system import MetricHistory, Metrics, Queues
from app.api.common import LIMIT
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Field
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime

_NAME = Field("name", kinds.text(), "The name of a metric.", example="loss")

blueprint = Blueprint("queues", __name__)


@blueprint.get("/queues")
@operation("listQueues", "Queues and metrics", answers={200: Queues})
def queues() -> Response:
    """Every queue: depth, waiting time, throughput, oldest task."""
    return answer({"queues": runtime().handlers.queues.list()})


@blueprint.get("/metrics")
@operation("listMetrics", "Queues and metrics", answers={200: Metrics})
def metrics() -> Response:
    """Every metric with its last value."""
    return answer({"metrics": runtime().handlers.metrics.list()})


@blueprint.get("/metrics/<path:name>")
@operation(
    "getMetric", "Queues and metrics", path=(_NAME,), query=(LIMIT,),
    answers={200: MetricHistory}, problems={404: "No metric has this name."},
)  # fmt: skip
def metric(name: str) -> Response:
    """The history of one metric, newest first."""
    history = runtime().handlers.metrics.history(name, LIMIT.read())
    if not history:
        raise ProblemError(404, "Not Found", f"there is no metric {name[:100]!r}")
    return answer({"name": name, "history": history})
