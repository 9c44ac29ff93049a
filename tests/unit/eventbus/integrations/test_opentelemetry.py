"""Spans of publications and handlers, as OpenTelemetry's SDK gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from eventbus import Event, EventBus
from eventbus.errors import EventValidationError
from eventbus.integrations.opentelemetry import trace
from tests.helpers.bus import Failing, open_bus
from tests.helpers.waiting import wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class Spans:
    """What an in-memory exporter has got."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def named(self, name: str, count: int = 0) -> list[ReadableSpan]:
        """The ended spans of a name, once there are at least ``count``."""
        wait_until(lambda: len(self._named(name)) >= count, f"{count} spans {name!r} have ended")
        return self._named(name)

    def _named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of a name."""
        names = [span.name for span in self._exporter.get_finished_spans()]
        found = self.named(name)
        assert len(found) == 1, names
        return found[0]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def bus(url: str, spans: Spans) -> Iterator[EventBus]:
    with open_bus(url) as bus:
        trace(bus, spans.provider)
        yield bus


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_handlers_further_events_are_in_its_trace(bus: EventBus, spans: Spans) -> None:
    bus.subscribe("a.b", lambda event: bus.publish("a.c", {}), name="first")
    bus.subscribe("a.c", lambda event: None, name="second")
    event = bus.publish("a.b", {"eval_id": "e"}).event
    assert bus.drain(10)
    publish, process = spans.one("publish a.b"), spans.one("process a.b")
    create, last = spans.one("create a.c"), spans.one("process a.c")
    assert parent_of(publish) is None
    assert parent_of(process) == id_of(publish)
    assert parent_of(create) == id_of(process)
    assert parent_of(last) == id_of(create)
    assert event.traceparent is not None
    assert f"{id_of(publish):016x}" in event.traceparent
    assert [publish.kind, process.kind] == [SpanKind.PRODUCER, SpanKind.CONSUMER]
    told = attributes(publish)
    assert told["messaging.system"] == "eventbus"
    assert told["messaging.operation.type"] == "send"
    assert told["messaging.destination.name"] == told["cloudevents.event_type"] == "a.b"
    assert told["messaging.message.id"] == event.id
    assert told["eventbus.sequence"] == event.sequence
    assert told["eventbus.commit.duration_ms"] > 0
    told = attributes(process)
    assert told["messaging.operation.type"] == "process"
    assert told["messaging.consumer.group.name"] == "first"
    assert told["eventbus.attempt"] == 1


def test_every_attempt_is_a_span_and_a_failure_is_an_error(bus: EventBus, spans: Spans) -> None:
    bus.subscribe("a.b", Failing(1), name="mine")
    bus.publish("a.b", {})
    failed, succeeded = spans.named("process a.b", 2)
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "RuntimeError"
    assert [event.name for event in failed.events] == ["exception"]
    assert succeeded.status.status_code is StatusCode.UNSET
    assert [attributes(span)["eventbus.attempt"] for span in (failed, succeeded)] == [1, 2]


def test_a_handler_that_runs_out_of_time_is_an_error(bus: EventBus, spans: Spans) -> None:
    async def slow(event: Event) -> None:
        await asyncio.sleep(60)

    bus.subscribe("a.b", slow, name="slow", timeout=0.05, max_attempts=1)
    bus.publish("a.b", {})
    spans.named("process a.b", 1)
    assert attributes(spans.one("process a.b"))["error.type"] == "HandlerTimeoutError"


def test_a_trace_that_the_event_brings_is_kept(bus: EventBus, spans: Spans) -> None:
    bus.subscribe("a.b", lambda event: None, name="mine")
    event = bus.publish("a.b", {}, traceparent=TRACEPARENT).event
    assert bus.drain(10)
    assert event.traceparent == TRACEPARENT
    publish, process = spans.one("publish a.b"), spans.one("process a.b")
    for span in (publish, process):
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE_ID
        assert parent_of(span) == int("00f067aa0ba902b7", 16)


def test_what_is_published_within_a_span_belongs_to_it(bus: EventBus, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("test")
    with tracer.start_as_current_span("mine"):
        bus.publish("a.b", {})
    assert parent_of(spans.one("publish a.b")) == id_of(spans.one("mine"))


def test_a_handlers_own_spans_are_below_its_attempt(bus: EventBus, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("test")

    async def asynchronous(event: Event) -> None:
        with tracer.start_as_current_span("on the loop"):
            await asyncio.sleep(0)

    def synchronous(event: Event) -> None:
        with tracer.start_as_current_span("in a thread"):
            pass

    bus.subscribe("a.b", asynchronous, name="one")
    bus.subscribe("a.b", synchronous, name="two")
    bus.publish("a.b", {})
    assert bus.drain(10)
    processes = {
        attributes(span)["messaging.consumer.group.name"]: id_of(span)
        for span in spans.named("process a.b")
    }
    assert parent_of(spans.one("on the loop")) == processes["one"]
    assert parent_of(spans.one("in a thread")) == processes["two"]
    assert not api.get_current_span().get_span_context().is_valid


def test_the_events_of_a_batch_are_created_one_by_one_and_linked(
    bus: EventBus, spans: Spans
) -> None:
    receipt = bus.publish_many([
        {"type": "a.b"}, {"type": "a.c", "traceparent": TRACEPARENT}
    ])  # fmt: skip
    batch = spans.one("publish")
    assert attributes(batch)["messaging.batch.message_count"] == 2
    created = spans.one("create a.b")
    assert [link.context.span_id for link in batch.links] == [
        id_of(created), int("00f067aa0ba902b7", 16),
    ]  # fmt: skip
    first, second = receipt.events
    assert first.traceparent is not None
    assert f"{id_of(created):016x}" in first.traceparent
    assert second.traceparent == TRACEPARENT


def test_a_scheduled_event_keeps_its_trace_until_it_is_due(bus: EventBus, spans: Spans) -> None:
    bus.subscribe("a.b", lambda event: None, name="mine")
    bus.publish("a.b", {}, delay=0.05)
    created = spans.one("create a.b")
    spans.named("process a.b", 1)
    assert parent_of(spans.one("process a.b")) == id_of(created)


def test_what_its_sampler_makes_of_the_tracestate_is_the_further_events(
    bus: EventBus, spans: Spans
) -> None:
    bus.subscribe("a.b", lambda event: bus.publish("a.c", {}), name="first")
    bus.publish("a.b", {}, traceparent=TRACEPARENT, extensions={"tracestate": "v=1"})
    assert bus.drain(10)
    create = spans.one("create a.c")
    assert create.context is not None
    assert create.context.trace_state.to_header() == "v=1"
    assert [event.extensions for event in bus.log.read(0).events] == [{"tracestate": "v=1"}] * 2


def test_an_event_that_is_refused_leaves_no_span(bus: EventBus, spans: Spans) -> None:
    with pytest.raises(EventValidationError):
        bus.publish("a.*", {})
    assert spans.named("publish a.*") == []


def test_without_tracing_the_traceparent_is_carried_on(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a.b", lambda event: bus.publish("a.c", {}), name="first")
        bus.publish("a.b", {}, traceparent=TRACEPARENT)
        assert bus.drain(10)
        assert [event.traceparent for event in bus.log.read(0).events] == [TRACEPARENT] * 2
