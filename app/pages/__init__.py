"""The HTML pages: each module has the routes of one, under the name of its template."""

from __future__ import annotations

from flask import Flask

from app.pages import (
    alerts,
    attention,
    catalogue,
    channels,
    compare,
    dead_letters,
    evaluation,
    evaluations,
    event,
    events,
    events_news,
    flow,
    handlers,
    inbox_decisions,
    live,
    operations,
    publish,
    reference,
    retries,
    scheduled,
    transfers,
    views,
    webhooks,
)
from app.pages.filters import register_filters

__all__ = ["register"]


def register(app: Flask) -> None:
    """Install the pages and the template filters on ``app``."""
    register_filters(app)
    app.jinja_env.filters["markdown_line"] = reference.line
    for module in (
        live, events, events_news, event, evaluations, compare, evaluation, retries,
        inbox_decisions, dead_letters, operations, alerts, attention, channels, flow, handlers,
        catalogue, publish, reference, scheduled, transfers, views, webhooks,
    ):  # fmt: skip
        app.register_blueprint(module.blueprint)
