"""Traces through a real server: from the request's header to the handlers, sent by OTLP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from eventbus import Event, RemoteEventBus
from eventbus.integrations.opentelemetry import trace
from tests.helpers.bus import Recorder
from tests.helpers.otlp import OtlpReceiver
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until, within
from tests.integration.test_disk_full import StartServer
from tests.unit.eventbus.integrations.test_opentelemetry import Spans, id_of, parent_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
EVALUATION = {"type": "evaluation.started", "data": {"eval_id": "e-1"}}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def publish(server: ServerProcess, traceparent: str, **headers: str) -> None:
    sent = {"Content-Type": "application/json", "traceparent": traceparent, **headers}
    answer = server.api.request("POST", "/api/events", json.dumps(EVALUATION), sent)
    assert answer.status == 202, answer.text


def traceparents(server: ServerProcess) -> set[str | None]:
    events = server.api.get("/api/events").json["events"]
    return {event.get("traceparent") for event in events}


def tracestates(server: ServerProcess) -> set[str | None]:
    events = server.api.get("/api/events").json["events"]
    return {event.get("tracestate") for event in events}


def test_the_requests_trace_goes_on_in_events_and_handlers_and_is_sent(
    start_server: StartServer, receiver: OtlpReceiver
) -> None:
    server = start_server(
        EVENTBUS_TRACING="yes", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_BSP_SCHEDULE_DELAY="100", OTEL_SERVICE_NAME="the-bus",
    )  # fmt: skip
    publish(server, TRACEPARENT, tracestate="vendor=1")
    # Of several threads: they end, and come, in any order.
    names = ("publish evaluation.started", "create metrics.evaluation.started",
             "process evaluation.started")  # fmt: skip
    wait_until(lambda: all(map(receiver.named, names)), "the spans have come")
    (published,) = receiver.named("publish evaluation.started")
    assert published.trace_id.hex() == TRACE_ID
    assert published.parent_span_id.hex() == "00f067aa0ba902b7"
    assert published.trace_state == "vendor=1"
    (process,) = receiver.named("create metrics.evaluation.started")
    assert process.trace_id.hex() == TRACE_ID
    assert receiver.services == {"the-bus"}
    assert all(str(sent).startswith(f"00-{TRACE_ID}-") for sent in traceparents(server))


def test_spans_that_nobody_takes_hold_up_neither_publishing_nor_the_end(
    start_server: StartServer,
) -> None:
    server = start_server(
        EVENTBUS_TRACING="yes", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )  # fmt: skip
    publish(server, TRACEPARENT)
    assert server.stop() < within(4.0)


def test_without_opentelemetry_the_headers_are_carried_on(server: ServerProcess) -> None:
    publish(server, TRACEPARENT, tracestate="vendor=1, other@tenant=a b")
    wait_until(
        lambda: len(server.api.get("/api/events").json["events"]) == 2, "the handler published"
    )
    assert traceparents(server) == {TRACEPARENT}
    assert tracestates(server) == {"vendor=1, other@tenant=a b"}


def test_headers_that_are_no_traceparent_or_tracestate_are_ignored(server: ServerProcess) -> None:
    publish(server, "00-nonsense", tracestate="vendor=1")
    assert (traceparents(server), tracestates(server)) == ({None}, {None})
    publish(server, TRACEPARENT, tracestate="nonsense")
    assert (traceparents(server), tracestates(server)) == ({None, TRACEPARENT}, {None})


def test_a_wrong_exporter_stops_the_start(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match=r"OTEL_TRACES_EXPORTER='jaeger' is wrong"):
        start_server(EVENTBUS_TRACING="yes", OTEL_TRACES_EXPORTER="jaeger")


def test_a_client_and_its_handlers_are_in_one_trace(server: ServerProcess) -> None:
    spans, seen = Spans(), Recorder()
    with RemoteEventBus(server.url) as bus:
        trace(bus, spans.provider)

        def handle(event: Event) -> None:
            bus.publish("a.c", {})

        bus.subscribe("a.b", handle, name="far")
        bus.subscribe("a.c", seen, name="seen")
        with spans.provider.get_tracer("test").start_as_current_span("mine"):
            bus.publish("a.b", {})
        seen.wait_for(1)
        (process,) = spans.named("process a.b", 1)
        created = spans.one("create a.b")
        assert parent_of(created) == id_of(spans.one("mine"))
        assert parent_of(process) == id_of(created)
        assert parent_of(spans.one("create a.c")) == id_of(process)
        (event,) = server.api.get("/api/events", type="a.b").json["events"]
        assert f"{id_of(created):016x}" in event["traceparent"]


def test_without_the_extra_nothing_is_imported_and_the_error_names_it() -> None:
    script = (
        "import sys\n"
        "import app, wsgi\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]\n"
        "sys.modules['opentelemetry'] = None\n"
        "from eventbus.errors import MissingPackageError\n"
        "try: import eventbus.integrations.opentelemetry\n"
        'except MissingPackageError as error: assert "eventbus[otel]" in str(error)\n'
        "else: raise AssertionError('it needs OpenTelemetry')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT,
        env=clean_environment(),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
