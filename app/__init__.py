"""The web application: Flask around the bus, its handlers and the live page."""

from __future__ import annotations

import os

from flask import Flask, request

from app import (
    access,
    api,
    cli,
    compression,
    consume,
    demo,
    live,
    metrics,
    pages,
    problems,
    security,
    tracing,
)
from app.config import Settings
from app.hooks import handshake
from app.hooks import routes as hooks
from app.proxies import behind_proxies
from app.runtime import Runtime, runtime
from app.variables import PROJECT_ROOT

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """The app with everything registered and nothing running.

    ``settings`` defaults to those of the environment. The bus starts with the first request, or
    with ``app.extensions["eventbus"].start()``. Raises SettingsError.
    """
    settings = settings or Settings.from_environment(os.environ)
    app = Flask(
        "app",
        root_path=str(PROJECT_ROOT / "app"),
        template_folder=str(PROJECT_ROOT / "templates"),
        static_folder=str(PROJECT_ROOT / "static"),
    )
    app.extensions["eventbus"] = Runtime(app, settings)
    problems.register(app)
    security.register(app, settings)
    compression.register(app)

    @app.before_request
    def start_bus() -> None:
        # Only what serves requests runs a bus: no command of `flask`, no parent of a reloader.
        if request.endpoint != "static":
            runtime()

    access.register(app)
    api.register(app)
    live.register(app)
    consume.register(app)
    hooks.register(app)
    handshake.register(app)
    pages.register(app)
    demo.register(app)
    metrics.register(app)
    tracing.register(app, settings)
    cli.register(app)
    if settings.trusted_proxies:  # outermost: whoever looks at the client sees the same one
        app.wsgi_app = behind_proxies(  # type: ignore[method-assign]
            app.wsgi_app, settings.trusted_proxies
        )
    return app
