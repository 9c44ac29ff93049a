"""Scheduling over HTTP: given with the event, listed, cancelled, and there after a kill -9."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventbus import RemoteEventBus
from eventbus.scheduled import ScheduledEvent
from eventbus.timestamps import format_time, parse_time
from tests.helpers.api import Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture
def api(shared_server: ServerProcess) -> Api:
    return shared_server.api


def recorded(api: Api, pattern: str) -> list[str]:
    events = api.get("/api/events", type=pattern, order="asc").json["events"]
    return [event["type"] for event in events]


def test_an_event_with_a_delay_is_answered_with_its_time_and_listed_until_it_is_due(
    api: Api,
) -> None:
    before = datetime.now(UTC)
    answer = api.post("/api/events", {"type": "short.form", "delay": 3600, "data": {"n": 1}})
    assert answer.status == 202
    found = answer.json
    assert (found["sequence"], found["duplicate"]) == (None, False)
    at = parse_time(found["at"])
    assert before <= at - timedelta(hours=1) <= datetime.now(UTC)
    shown = api.get(f"/api/scheduled/{found['id']}").json
    assert (shown["type"], shown["data"], shown["at"]) == ("short.form", {"n": 1}, found["at"])
    assert shown["time"] == found["at"] and shown["specversion"] == "1.0"
    assert api.get(f"/api/events/{found['id']}").status == 404
    again = api.post("/api/events", {"type": "short.form", "delay": 9, "id": found["id"]})
    assert (again.status, again.json["duplicate"], again.json["at"]) == (200, True, found["at"])


def test_cloudevents_carry_it_as_an_extension_attribute_in_every_mode(api: Api) -> None:
    at = format_time(datetime.now(UTC) + timedelta(days=1))
    event = {
        "specversion": "1.0",
        "id": "s-1",
        "source": "/ce",
        "type": "mode.structured",
        "at": at,
    }
    ce = "application/cloudevents+json"
    answer = api.request("POST", "/api/events", json.dumps(event), {"Content-Type": ce})
    assert answer.json == {"id": "s-1", "sequence": None, "duplicate": False, "at": at}
    headers = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "s-2",
               "ce-source": "/ce", "ce-type": "mode.binary", "ce-delay": "90.5"}  # fmt: skip
    answer = api.request("POST", "/api/events", '{"n": 2}', headers)
    assert answer.status == 202 and answer.json["sequence"] is None
    batch = [{**event, "id": "s-3", "delay": 5, "at": None}, {**event, "id": "s-4", "at": None}]
    answer = api.request(
        "POST",
        "/api/events",
        json.dumps(batch),
        {"Content-Type": "application/cloudevents-batch+json"},
    )
    later, now = answer.json["events"]
    assert (later["sequence"], "at" in now) == (None, False) and now["sequence"] > 0


@pytest.mark.parametrize(("value", "pointer"), [
    ({"delay": -1}, "/delay"), ({"delay": [1]}, "/delay"), ({"delay": 1e99}, "/delay"),
    ({"at": "soon"}, "/at"), ({"at": "9999-12-31T23:59:59Z"}, "/at"),
    ({"at": "2030-01-01T00:00:00Z", "delay": 1}, "/at"),
])  # fmt: skip
def test_a_wrong_delay_or_time_is_named(api: Api, value: dict[str, Any], pointer: str) -> None:
    answer = api.post("/api/events", [{"type": "a"}, {"type": "wrong.type.", **value}])
    assert answer.status == 400
    pointers = [error["pointer"] for error in answer.json["errors"]]
    assert sorted(pointers) == sorted([f"/1{pointer}", "/1/type"])


def test_waiting_for_handlers_of_a_scheduled_event_answers_at_once(api: Api) -> None:
    answer = api.post("/api/events", {"type": "a.b", "delay": 99}, wait="handled")
    assert (answer.json["handled"], answer.json["deliveries"]) == (False, [])


def test_a_schedule_is_cancelled_once_and_the_log_tells_by_whom(api: Api) -> None:
    scheduled = api.post("/api/events", {"type": "to.cancel", "delay": 3600}).json
    path = f"/api/scheduled/{scheduled['id']}"
    answer = api.request("DELETE", path, '{"by": "ana"}', {"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (200, {"id": scheduled["id"], "cancelled": True})
    assert api.request("DELETE", path).status == 404
    assert api.get(path).status == 404
    (event,) = api.get("/api/events", type="bus.schedule.cancelled").json["events"]
    assert (event["data"]["by"], event["data"]["id"]) == ("ana", scheduled["id"])


def test_a_page_of_another_site_cannot_cancel(api: Api) -> None:
    scheduled = api.post("/api/events", {"type": "to.keep", "delay": 3600}).json
    path = f"/api/scheduled/{scheduled['id']}"
    assert api.request("DELETE", path, headers={"Origin": "http://evil.example"}).status == 403
    assert api.get(path).status == 200


def test_the_list_has_pages_in_due_order(server: ServerProcess) -> None:
    api = server.api
    api.post("/api/events", [{"type": f"t.n{n}", "delay": 100 - n} for n in range(5)])
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get("/api/scheduled", limit=2, cursor=cursor).json
        found += [event["type"] for event in page["scheduled"]]
        cursor = page["next"]
    assert found == ["t.n4", "t.n3", "t.n2", "t.n1", "t.n0"]
    assert api.get("/api/scheduled", cursor="no").status == 400


def test_what_was_acknowledged_comes_after_a_kill_and_comes_once(server: ServerProcess) -> None:
    batch = [{"type": f"soon.n{n}", "delay": 1 + n / 1_000} for n in range(50)]
    assert server.api.post("/api/events", batch).status == 202
    server.kill9()
    server.start()
    api = server.api
    wait_until(lambda: len(recorded(api, "soon.*")) == 50, "all have come")
    assert recorded(api, "soon.*") == [event["type"] for event in batch]
    assert api.get("/api/scheduled").json["scheduled"] == []


def test_a_kill_while_many_come_due_loses_none_and_doubles_none(server: ServerProcess) -> None:
    began = time.monotonic()
    server.api.post("/api/events", [{"type": "warm.up"}] * 3_000)
    # Not before the answer has come, on a machine as slow as this one is now.
    later_s = max(3.0, 4 * (time.monotonic() - began))
    at = format_time(datetime.now(UTC) + timedelta(seconds=later_s))
    batch = [{"type": "burst.it", "id": f"b-{n}", "at": at} for n in range(3_000)]
    answer = server.api.post("/api/events", batch)
    assert all(entry["sequence"] is None for entry in answer.json["events"])
    wait_until(lambda: recorded(server.api, "burst.*"), "they come", later_s + 20)
    server.kill9()
    server.start()
    wait_until(
        lambda: server.api.get("/api/scheduled").json["scheduled"] == [], "all came", timeout_s=30
    )
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.api.get("/api/events", type="burst.*", order="asc", limit=1000, cursor=cursor)
        found += [event["id"] for event in page.json["events"]]
        cursor = page.json["next"]
    assert found == [event["id"] for event in batch], "each once, in order"


def test_a_delayed_retry_counts_down_on_the_pages(
    start_server: Callable[..., ServerProcess],
) -> None:
    api = start_server(EVENTBUS_RETRY_DELAYS="slow=1h").api
    api.post(
        "/api/events", {"type": "evaluation.started", "data": {"eval_id": "e", "task": "slow"}}
    )
    failed = {"type": "evaluation.failed", "data": {"eval_id": "e", "error": "x"}}
    api.post("/api/events", failed, wait="handled")
    wait_until(lambda: api.get("/api/evaluations/e").json["state"] == "retrying", "it waits")
    retry_at = api.get("/api/evaluations/e").json["retry_at"]
    (scheduled,) = api.get("/api/scheduled").json["scheduled"]
    assert (scheduled["type"], scheduled["at"]) == ("evaluation.retry", retry_at)
    for path in ("/", "/retries/now", "/evaluations/e"):
        assert f'data-countdown-to="{retry_at}"' in api.get(path).text


def test_a_remote_bus_schedules_and_its_receipt_tells_when(server: ServerProcess) -> None:
    with RemoteEventBus(server.url, linger_s=0.01) as client:
        now = client.publish("remote.now")
        later = client.publish("remote.later", {"n": 1}, delay=0.5)
        event = later.wait(10)
        far = client.publish("remote.far", at="2030-01-01T00:00:00Z").wait(10)
        assert isinstance(event, ScheduledEvent) and event.sequence is None
        assert isinstance(far, ScheduledEvent) and far.at == datetime(2030, 1, 1, tzinfo=UTC)
        assert now.wait(10).sequence is not None
        wait_until(
            lambda: recorded(server.api, "remote.*") == ["remote.now", "remote.later"], "it came"
        )
        again = client.publish("remote.later", id=event.id, delay=5).wait(10)
        assert again.sequence is not None


def test_the_page_takes_back_one_source_s_event_and_says_what_is_wrong_with_a_form(
    api: Api,
) -> None:
    for source in ("/a", "/b"):
        event = {"type": "page.later", "id": "page/1", "source": source, "delay": 3_600}
        assert api.post("/api/events", event).status == 202
    kind = {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}
    for body, said in (("id=page/1", "source must be given"), ("source=/a", "id must be given")):
        answer = api.request("POST", "/events/scheduled/cancel", body, kind)
        assert answer.status == 400 and said in answer.text
    wanted = api.request("POST", "/events/scheduled/cancel", "id=page/1&source=/a", kind)
    assert wanted.status == 303
    assert api.get("/api/scheduled/page/1", source="/a").status == 404
    assert api.get("/api/scheduled/page/1", source="/b").status == 200
    assert api.request("GET", "/events/scheduled?cursor=x", None, kind).status == 400
