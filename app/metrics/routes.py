"""GET /metrics, in the text format of Prometheus or, when it is asked for, in OpenMetrics."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.metrics.collector import EventBusCollector
from app.metrics.requests import RequestCounts, counting
from app.runtime import Runtime, runtime

blueprint = Blueprint("metrics", __name__)


def register(app: Flask) -> None:
    """Install the route on ``app``, and count its requests."""
    parts: Runtime = app.extensions["eventbus"]
    requests = RequestCounts()
    # Of this app alone: the client's global registry would be shared with other apps of a process.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EventBusCollector(lambda: app.extensions["eventbus"], requests))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    app.extensions["eventbus.metrics"] = registry
    app.wsgi_app = counting(app.wsgi_app, requests, parts.settings.log_requests)  # type: ignore[method-assign]
    app.register_blueprint(blueprint)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Every figure as it is now."""
    runtime()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = encode(current_app.extensions["eventbus.metrics"])
    return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})
