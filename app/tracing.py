"""Traces of requests: what they publish belongs to them, by OpenTelemetry when it is on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flask import Flask, request

from app.config import Settings
from eventbus import Event, EventBus
from eventbus.errors import EventBusError, FieldError
from eventbus.tracing import with_trace
from eventbus.validation import check_traceparent, is_tracestate

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from opentelemetry.sdk.trace import TracerProvider

_FLUSH_S = 0.5

log = logging.getLogger(__name__)


def register(app: Flask, settings: Settings) -> None:
    """Make the trace that a request belongs to the current one while it is answered."""
    if settings.tracing:
        app.wsgi_app = _in_context(app.wsgi_app)  # type: ignore[method-assign]


class Tracing:
    """OpenTelemetry for a bus, as ``EVENTBUS_TRACING`` and the ``OTEL_*`` variables want it."""

    def __init__(self, bus: EventBus) -> None:
        """Raises MissingPackageError, and EventBusError for a wrong variable."""
        from eventbus.integrations.opentelemetry import provider_from_environment, trace

        try:
            self._provider: TracerProvider = provider_from_environment()
        except ValueError as error:
            raise EventBusError(str(error)) from error
        trace(bus, self._provider)

    def close(self) -> None:
        """Send what is left, if whoever takes it answers soon."""
        thread = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        thread.start()
        thread.join(_FLUSH_S)


def carried(events: Sequence[Event], bus: EventBus) -> list[Event]:
    """The events of this request, in its trace where they have no traceparent of their own.

    With OpenTelemetry on, the bus does that, by its spans. A header that is not in the form of W3C
    Trace Context is ignored, as §3.2 and §3.3 want it.
    """
    header = request.environ.get("HTTP_TRACEPARENT")
    if header is None or bus.log.tracing is not None:
        return list(events)
    errors: list[FieldError] = []
    check_traceparent(header, errors)
    if errors:
        return list(events)
    state = request.environ.get("HTTP_TRACESTATE")
    state = state if state is not None and is_tracestate(state) else None
    return [
        event if event.traceparent is not None else with_trace(event, header, state)
        for event in events
    ]


def _in_context(application: WSGIApplication) -> WSGIApplication:
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:  # the start of the bus says what is missing
        return application
    propagator = TraceContextTextMapPropagator()

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_TRACEPARENT" not in environ:
            return application(environ, start_response)
        carrier = {
            name: environ[key]
            for name, key in (
                ("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"),
            )
            if key in environ
        }  # fmt: skip
        token = context.attach(propagator.extract(carrier, context.Context()))
        try:
            return application(environ, start_response)
        finally:
            context.detach(token)

    return serve
