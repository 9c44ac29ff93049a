"""GET /metrics: what Prometheus reads agrees with what was published, and stays bounded."""

from __future__ import annotations

import re
import time

import pytest
from prometheus_client.metrics_core import Metric

from tests.helpers.metrics import families, open_families, value
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within
from tests.integration.test_disk_full import StartServer

# The base units of https://prometheus.io/docs/practices/naming/, and what counts things.
_UNITS = ("seconds", "bytes", "events", "info", "total", "sequence")
_COUNTS = re.compile(
    r"_(requests|published|attempts|blocked|failures|removed|behind|refused|ended|running|"
    r"retrying|paused|letters|websockets|used|places|views|evaluations|depth|open|trouble|"
    r"failed|build)$"
)


def test_the_figures_agree_with_what_was_published(server: ServerProcess) -> None:
    api = server.api
    for number in range(3):
        api.publish("evaluation.started", {"eval_id": f"e-{number}"})
    api.publish("evaluation.completed", {"eval_id": "e-0", "result": {"score": 1}})
    api.publish("queue.task.added", {"task_id": "t-1", "queue": "gpu"})
    api.post("/api/events", {"type": "not a type"})
    wait_until(lambda: is_quiet(families(api)), "everything is handled, and counted")
    found = families(api)
    stats = api.get("/api/stats").json
    assert value(found, "eventbus_events_published_total", family="evaluation") == 4
    assert value(found, "eventbus_events_published_total", family="queue") == 1
    total = sum(one.value for one in found["eventbus_events_published"].samples)
    assert total == value(found, "eventbus_log_sequence") == stats["sequence"]
    counters = stats["counters"]
    assert value(found, "eventbus_evaluations", state="active") == counters["active"] == 2
    assert value(found, "eventbus_evaluations_ended_total", outcome="completed") == 1
    assert value(found, "eventbus_queue_depth") == counters["queue_depth"] == 1
    assert value(found, "eventbus_http_requests_total", method="POST", code="400") == 1
    assert value(found, "eventbus_http_requests_total", method="POST", code="202") == 5
    assert value(found, "eventbus_commit_events_sum") == total
    for subscription in api.get("/api/subscriptions").json["subscriptions"]:
        name = subscription["name"]
        assert value(found, "eventbus_subscription_lag_events", subscription=name) == 0
        done = {"subscription": name, "outcome": "succeeded"}
        attempts = value(found, "eventbus_delivery_attempts_total", **done)
        assert attempts == subscription["succeeded"]
        timed = value(found, "eventbus_handler_duration_seconds_count", subscription=name)
        assert timed == attempts
    assert value(found, "eventbus_database_size_bytes") > 0
    assert value(found, "eventbus_disk_free_bytes") > 0
    assert all(one.value == 0 for one in found["eventbus_trouble"].samples)
    assert all(one.value == 0 for one in found["eventbus_scrape_part_failed"].samples)


def is_quiet(found: dict[str, Metric]) -> bool:
    """Whether all is handled and counted: a success is counted a moment after it is recorded."""

    def total(sample: str) -> float:
        return sum(
            one.value for family in found.values() for one in family.samples if one.name == sample
        )

    attempts = total("eventbus_delivery_attempts_total")
    timed = total("eventbus_handler_duration_seconds_count")
    return total("eventbus_subscription_lag_events") == 0 and attempts == timed


def test_retries_and_dead_letters_are_counted(start_server: StartServer) -> None:
    server = start_server(
        "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="2", EVENTBUS_BACKOFF_FIRST_S="0.01",
        EVENTBUS_BACKOFF_MAX_S="0.01",
    )  # fmt: skip
    server.api.publish("trouble.flaky", {"failures": 1})
    server.api.publish("trouble.flaky", {"failures": 9})
    wait_until(
        lambda: (
            value(found := families(server.api), "eventbus_dead_letters", subscription="flaky") == 1
            and is_quiet(found)
        ),
        "it has died",
    )
    found = families(server.api)
    ended = {
        outcome: value(found, "eventbus_delivery_attempts_total", subscription="flaky",
                       outcome=outcome)
        for outcome in ("succeeded", "retried", "died")
    }  # fmt: skip
    assert ended == {"succeeded": 1, "retried": 2, "died": 1}
    assert value(found, "eventbus_handler_duration_seconds_count", subscription="flaky") == 4
    assert value(found, "eventbus_dead_letters", subscription="flaky") == 1


def test_websockets_are_counted(server: ServerProcess) -> None:
    socket = server.websocket("/api/stream")
    wait_until(
        lambda: value(families(server.api), "eventbus_websockets", kind="json") == 1,
        "it is open",
    )
    assert value(families(server.api), "eventbus_websocket_places_used") == 1
    socket.close()
    wait_until(
        lambda: value(families(server.api), "eventbus_websockets", kind="json") == 0,
        "it is gone",
    )


def test_families_that_are_made_up_are_summed_up(server: ServerProcess) -> None:
    body = [{"type": f"made-up-{number}.x"} for number in range(150)]
    assert server.api.post("/api/events", body).status == 202
    published = families(server.api)["eventbus_events_published"].samples
    assert len(published) == 101
    (rest,) = [one.value for one in published if one.labels["family"] == "(other)"]
    assert rest == 50


def test_both_formats_say_the_same_by_the_rules_of_each(shared_server: ServerProcess) -> None:
    shared_server.api.publish("evaluation.started", {"eval_id": "e"})
    plain, strict = families(shared_server.api), open_families(shared_server.api)
    own = {name for name in plain if name.startswith("eventbus_")}
    assert (
        own
        == {name for name in strict if name.startswith("eventbus_")} - {"eventbus_build"}
        | {"eventbus_build_info"} & own
    )
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_info"} <= set(plain)
    answer = shared_server.api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"


def test_names_units_and_help_follow_the_conventions(shared_server: ServerProcess) -> None:
    wrong = []
    for name, family in open_families(shared_server.api).items():
        if name.startswith("eventbus_"):
            wrong += [f"{name}: {problem}" for problem in lint(family)]
    assert not wrong


def lint(family: Metric) -> list[str]:
    """What `promtool check metrics` would say, and a little more."""
    problems = []
    name = family.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        problems.append("names are lower case with underscores")
    if not family.documentation.endswith("."):
        problems.append("the help is no sentence")
    if family.type in ("unknown", "unspecified"):
        problems.append("has no type")
    if re.search(r"(milli|micro|nano|kilo|mega|minutes|hours|_(ms|us|kb|mb)(_|$))", name):
        problems.append("is not in a base unit")
    if family.type != "counter" and name.endswith("_total"):
        problems.append("only counters end in _total")
    for word in ("counter", "gauge", "histogram"):
        if word in name:
            problems.append("has its type in its name")
    if not (name.rsplit("_", 1)[-1] in _UNITS or _COUNTS.search(name)):
        problems.append("does not end in a unit or in what it counts")
    for sample in family.samples:
        for label, text in sample.labels.items():
            if label in ("id", "event_id", "subject") or len(text) > 300:
                problems.append(f"the label {label} is unbounded")
    return problems


@pytest.mark.parametrize("times", [5])
def test_a_scrape_is_quick(shared_server: ServerProcess, times: int) -> None:
    body = [{"type": "a.b", "data": {"n": n}} for n in range(1_000)]
    for _ in range(5):
        assert shared_server.api.post("/api/events", body).status == 202
    took = []
    for _ in range(times):
        began = time.perf_counter()
        families(shared_server.api)
        took.append(time.perf_counter() - began)
    assert min(took) < within(0.1)
