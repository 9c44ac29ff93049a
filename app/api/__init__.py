"""The JSON API under /api, a blueprint per resource, and the two health checks."""

from __future__ import annotations

from flask import Flask

from app.api import (
    alerts,
    asyncapi,
    deliveries,
    evaluations,
    events,
    flow,
    health,
    notifications,
    openapi,
    operations,
    preview,
    queues,
    rebuild,
    scheduled,
    stats,
    storage,
    subscriptions,
    transfers,
    types,
    views,
    webhooks,
)


def register(app: Flask) -> None:
    """Add all routes of the API to ``app``."""
    for part in (
        preview,
        transfers,  # before events: its paths are no ids
        events,
        evaluations,
        alerts,
        notifications,
        stats,
        subscriptions,
        flow,
        deliveries,
        queues,
        scheduled,
        operations,
        rebuild,
        storage,
        types,
        views,
        webhooks,
    ):
        app.register_blueprint(part.blueprint, url_prefix="/api")
    app.register_blueprint(health.blueprint)
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(asyncapi.blueprint)
