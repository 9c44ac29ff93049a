"""OpenTelemetry: spans for what is published and handled, by its conventions for messaging.

Needs the extra ``otel``. ``trace(bus)`` traces an EventBus or a RemoteEventBus with the process's
tracer provider; ``provider_from_environment`` makes one that the ``OTEL_*`` variables configure.

Source of names: OpenTelemetry semantic conventions 1.38, "Messaging spans" and "CloudEvents".
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventbus.client.remote import RemoteEventBus
from eventbus.errors import HandlerTimeoutError, MissingPackageError
from eventbus.event import SPECVERSION, Event
from eventbus.scheduled import ScheduledEvent
from eventbus.tracing import Recording, tracestate_of, with_trace

try:
    from opentelemetry import trace as api
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        Link,
        Span,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        Tracer,
        TracerProvider,
        TraceState,
    )
except ImportError as error:
    raise MissingPackageError(
        "tracing needs OpenTelemetry: pip install 'eventbus[otel]'"
    ) from error

if TYPE_CHECKING:
    from eventbus import EventBus

SYSTEM = "eventbus"
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_LINKS = 100


def trace(bus: EventBus | RemoteEventBus, provider: TracerProvider | None = None) -> None:
    """Trace what is published to and handled by a bus; ``provider`` defaults to the process's."""
    tracing = OpenTelemetryTracing(provider)
    if isinstance(bus, RemoteEventBus):
        bus.tracing = tracing
    else:
        bus.log.tracing = bus.dispatcher.runner.tracing = tracing


def provider_from_environment(service_name: str = SYSTEM) -> TracerProvider:
    """A provider of the SDK as the standard variables want it.

    ``OTEL_TRACES_EXPORTER`` may be ``otlp`` (the default: over HTTP, to
    ``OTEL_EXPORTER_OTLP_ENDPOINT``), ``console`` or ``none``. Raises MissingPackageError,
    ValueError.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider as SdkProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            ConsoleSpanExporter,
            SimpleSpanProcessor,
        )
    except ImportError as error:
        raise MissingPackageError(
            "sending spans needs OpenTelemetry's SDK: pip install 'eventbus[otel]'"
        ) from error
    # Stronger than the default name: what the environment says.
    resource = Resource({SERVICE_NAME: service_name}).merge(OTELResourceDetector().detect())
    provider = SdkProvider(resource=resource)
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() or "otlp"
    if exporter == "otlp":
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    elif exporter == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    elif exporter != "none":
        raise ValueError(
            f"OTEL_TRACES_EXPORTER={exporter!r} is wrong; allowed: otlp, console, none"
        )
    return provider


class OpenTelemetryTracing:
    """The bus's ``Tracing`` by OpenTelemetry."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.tracer: Tracer = (provider or api.get_tracer_provider()).get_tracer(SYSTEM)

    def created(self, event: Event) -> Event:
        """A span of its own for the creation of an event that is sent later, or by a batch."""
        if event.traceparent is not None:
            return event
        span = self.tracer.start_span(
            f"create {event.type}", kind=SpanKind.PRODUCER,
            attributes={**_operation("create"), **_about(event)},
        )  # fmt: skip
        created = _carrying(event, span)
        span.end()
        return created

    def publishing(self, unit: Recording, later: Sequence[Any] = ()) -> None:
        """One event is created by its publication; several are created one by one and linked."""
        events = unit.events
        for request in later:
            request.wanted = self.created(request.wanted)
            request.event = ScheduledEvent.due(request.wanted, request.due_us)
        if not events:
            return
        if len(events) > 1:
            unit.events = events = [self.created(event) for event in events]
        contexts = [_context_of(event) for event in events]
        parent: Context | None = None
        if len(events) == 1 and not api.get_current_span().get_span_context().is_valid:
            parent = _as_context(contexts[0])
        known = [context for context in contexts if context is not None]
        span = self.tracer.start_span(
            f"publish {events[0].type}" if len(events) == 1 else "publish",
            context=parent, kind=SpanKind.PRODUCER,
            attributes={
                **_operation("publish", "send"),
                **(_about(events[0]) if len(events) == 1
                   else {"messaging.batch.message_count": len(events)}),
            },
            links=[Link(context) for context in known[:_MOST_LINKS]],
        )  # fmt: skip
        if len(events) == 1 and events[0].traceparent is None:
            unit.events = [_carrying(events[0], span)]
        unit.span = span

    def committed(self, units: Sequence[Recording], took_us: int, event_count: int) -> None:
        """End the spans of what was published with the commit, which they tell about."""
        for unit in units:
            span: Span | None = unit.span
            if span is None:
                continue
            unit.span = None
            if unit.error is not None:
                _failed(span, unit.error)
            else:
                span.set_attributes({
                    "eventbus.commit.duration_ms": took_us / 1_000,
                    "eventbus.commit.events": event_count,
                    "eventbus.duplicates": len(unit.duplicates),
                })  # fmt: skip
                if len(unit.events) == 1 and unit.events[0].sequence is not None:
                    span.set_attribute("eventbus.sequence", unit.events[0].sequence)
            span.end()

    @contextmanager
    def handling(self, event: Event, subscription: str, attempt: int | None) -> Iterator[_Attempt]:
        """A span that is a child of the event's creation, and current while the handler runs."""
        attributes: dict[str, Any] = {
            **_operation("process"),
            **_about(event),
            "messaging.consumer.group.name": subscription,
        }
        if event.sequence is not None:
            attributes["eventbus.sequence"] = event.sequence
        if attempt is not None:
            attributes["eventbus.attempt"] = attempt
        span = self.tracer.start_span(
            f"process {event.type}",
            # Never of what happens to be current on the bus's loop.
            context=_as_context(_context_of(event)) or Context(),
            kind=SpanKind.CONSUMER, attributes=attributes,
        )  # fmt: skip
        try:
            with api.use_span(span, record_exception=False, set_status_on_exception=False):
                yield _Attempt(self)
        except BaseException as error:
            _failed(span, error)
            raise
        finally:
            span.end()


class _Attempt:
    def __init__(self, tracing: OpenTelemetryTracing) -> None:
        self._tracing = tracing

    def created(self, event: Event) -> Event:
        return self._tracing.created(event)


def _operation(name: str, type: str | None = None) -> dict[str, Any]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": type or name,
    }


def _about(event: Event) -> dict[str, Any]:
    return {
        "messaging.destination.name": event.type,
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": event.correlationid,
        "messaging.message.body.size": len(event.data_json),
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.source,
        "cloudevents.event_spec_version": SPECVERSION,
        "cloudevents.event_type": event.type,
        "cloudevents.event_subject": event.subject,
    }


def _failed(span: Span, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):  # how a handler is told that its time is up
        error = HandlerTimeoutError("the handler was stopped: its time was up")
    span.record_exception(error)
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error)[:500]))


def _carrying(event: Event, span: Span) -> Event:
    context = span.get_span_context()
    if not context.is_valid:
        return event
    flags = context.trace_flags & 0xFF
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    return with_trace(event, traceparent, context.trace_state.to_header() or None)


def _context_of(event: Event) -> SpanContext | None:
    """W3C Trace Context §3.2; a version above 00 may have more fields."""
    traceparent = event.traceparent
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    context = SpanContext(
        int(found[2], 16), int(found[3], 16), is_remote=True,
        trace_flags=TraceFlags(int(found[4], 16)),
        trace_state=TraceState.from_header([tracestate_of(event) or ""]),
    )  # fmt: skip
    return context if context.is_valid else None


def _as_context(context: SpanContext | None) -> Context | None:
    if context is None:
        return None
    return api.set_span_in_context(api.NonRecordingSpan(context), Context())
