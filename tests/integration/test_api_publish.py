"""Publishing over HTTP: one event, a batch, CloudEvents in each mode, and waiting for handlers."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.helpers.server import ServerProcess

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def unique(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


def test_one_event_is_recorded_and_can_be_read(shared_server: ServerProcess) -> None:
    api = shared_server.api
    answer = api.post("/api/events", {"type": "shop.order.paid", "data": {"amount": 3}})
    assert answer.status == 202
    receipt = answer.json
    assert receipt.keys() == {"id", "sequence", "duplicate"}
    assert receipt["duplicate"] is False

    event = api.get(f"/api/events/{receipt['id']}").json
    assert event["specversion"] == "1.0"
    assert event["type"] == "shop.order.paid"
    assert event["sequence"] == receipt["sequence"]
    assert event["data"] == {"amount": 3}
    assert event["correlationid"] == receipt["id"]


def test_the_same_id_again_records_nothing_and_gives_the_first(
    shared_server: ServerProcess,
) -> None:
    api = shared_server.api
    event = {"type": "a.b", "id": unique("id"), "source": "/me", "data": {"n": 1}}
    first = api.post("/api/events", event)
    again = api.post("/api/events", {**event, "data": {"n": 2}})
    assert (first.status, again.status) == (202, 200)
    assert again.json == {**first.json, "duplicate": True}
    assert api.get(f"/api/events/{event['id']}").json["data"] == {"n": 1}


def test_the_same_id_from_another_source_is_another_event(shared_server: ServerProcess) -> None:
    api = shared_server.api
    name = unique("id")
    sent = [{"type": "a.b", "id": name, "source": source} for source in ("/one", "/two")]
    assert [api.post("/api/events", event).status for event in sent] == [202, 202]
    for source in ("/one", "/two"):
        assert api.get(f"/api/events/{name}", source=source).json["source"] == source


def test_a_batch_is_recorded_in_order_with_its_duplicates_marked(
    shared_server: ServerProcess,
) -> None:
    api = shared_server.api
    ids = [unique("id") for _ in range(3)]
    api.post("/api/events", {"type": "a.b", "id": ids[1]})
    answer = api.post("/api/events", [{"type": "a.b", "id": name} for name in ids])
    assert answer.status == 202
    receipts = answer.json["events"]
    assert [receipt["id"] for receipt in receipts] == ids
    assert [receipt["duplicate"] for receipt in receipts] == [False, True, False]
    assert receipts[1]["sequence"] < receipts[0]["sequence"] < receipts[2]["sequence"]

    again = api.post("/api/events", [{"type": "a.b", "id": name} for name in ids])
    assert again.status == 200
    assert all(receipt["duplicate"] for receipt in again.json["events"])


def test_an_empty_batch_is_no_error(shared_server: ServerProcess) -> None:
    answer = shared_server.api.post("/api/events", [])
    assert (answer.status, answer.json) == (200, {"events": []})


def test_a_thousand_events_fit_in_a_batch(shared_server: ServerProcess) -> None:
    answer = shared_server.api.post("/api/events", [{"type": "a.many"}] * 1000)
    assert answer.status == 202
    sequences = [receipt["sequence"] for receipt in answer.json["events"]]
    assert sequences == sorted(set(sequences))


def cloud_event(**members: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": unique("ce"),
        "source": "/ce",
        "type": "ce.structured",
        "data": {"é": "ü"},
        **members,
    }


def test_cloudevents_in_structured_mode(shared_server: ServerProcess) -> None:
    event = cloud_event(subject="s", time="2026-01-02T03:04:05.678+01:00")
    answer = shared_server.api.request(
        "POST", "/api/events", json.dumps(event), {"Content-Type": f"{STRUCTURED}; charset=utf-8"}
    )
    assert answer.status == 202, answer.text
    found = shared_server.api.get(f"/api/events/{event['id']}").json
    assert found["data"] == {"é": "ü"}
    assert found["time"] == "2026-01-02T02:04:05.678000Z"


def test_cloudevents_in_binary_mode(shared_server: ServerProcess) -> None:
    name = unique("ce")
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": name,
        "ce-source": "/ce",
        "ce-type": "ce.binary",
        "ce-subject": "Gr%C3%B6%C3%9Fe",
    }
    answer = shared_server.api.request("POST", "/api/events", '{"n": 1}', headers)
    assert answer.status == 202, answer.text
    found = shared_server.api.get(f"/api/events/{name}").json
    assert (found["type"], found["subject"], found["data"]) == ("ce.binary", "Größe", {"n": 1})


def test_cloudevents_in_batched_mode(shared_server: ServerProcess) -> None:
    events = [cloud_event(), cloud_event()]
    answer = shared_server.api.request(
        "POST", "/api/events", json.dumps(events), {"Content-Type": BATCH}
    )
    assert answer.status == 202, answer.text
    assert [receipt["id"] for receipt in answer.json["events"]] == [e["id"] for e in events]


def test_waiting_for_handlers_tells_what_each_of_them_did(shared_server: ServerProcess) -> None:
    api = shared_server.api
    name = unique("eval")
    answer = api.post(
        "/api/events", {"type": "evaluation.started", "data": {"eval_id": name}}, wait="handled"
    )
    assert answer.status == 202
    receipt = answer.json
    assert (receipt["handled"], receipt["timed_out"]) == (True, False)
    delivery = next(d for d in receipt["deliveries"] if d["subscription"] == "evaluation")
    assert (delivery["state"], delivery["attempt"]) == ("succeeded", 1)
    assert api.get(f"/api/evaluations/{name}").json["state"] == "active"


def test_waiting_with_a_batch_tells_it_for_each_event(shared_server: ServerProcess) -> None:
    events = [
        {"type": "queue.task.added", "data": {"queue": unique("q"), "task_id": "t"}},
        {"type": "nobody.listens"},
    ]
    first, second = shared_server.api.post("/api/events", events, wait="handled").json["events"]
    assert [d["subscription"] for d in first["deliveries"]] == ["queue"]
    assert (second["handled"], second["deliveries"]) == (True, [])


def test_waiting_ends_at_its_timeout_with_what_is_known(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("tests.helpers.trouble:app", EVENTBUS_BACKOFF_FIRST_S="60")
    flaky = {"type": "trouble.flaky", "data": {"failures": 1}, "id": "flaky"}
    answer = server.api.post("/api/events", flaky, wait="attempted", timeout=30)
    assert answer.status == 202
    assert (answer.json["handled"], answer.json["timed_out"]) == (False, False)
    (delivery,) = answer.json["deliveries"]
    assert delivery["state"] == "retrying"
    assert delivery["next_attempt_at"]
    (attempt,) = delivery["attempts"]
    assert (attempt["outcome"], attempt["error_message"]) == ("failed", "failure 1")
    assert "Traceback" in attempt["traceback"]

    answer = server.api.post("/api/events", {"type": "trouble.sleep"}, wait="handled", timeout=0.2)
    assert answer.status == 202
    assert (answer.json["handled"], answer.json["timed_out"]) == (False, True)
    assert answer.json["deliveries"][0]["attempts"] == []

    again = server.api.post("/api/events", flaky, wait="handled", timeout=0.1)  # it waits in vain
    assert (again.status, again.json["duplicate"]) == (200, True)
    assert (again.json["handled"], again.json["timed_out"]) == (False, True)
    assert again.json["deliveries"][0]["state"] == "retrying"


def test_waiting_for_handlers_waits_through_their_retries(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("tests.helpers.trouble:app", EVENTBUS_BACKOFF_FIRST_S="0.05")
    flaky = {"type": "trouble.flaky", "data": {"failures": 2}}
    answer = server.api.post("/api/events", flaky, wait="handled", timeout=30)
    assert (answer.json["handled"], answer.json["timed_out"]) == (True, False)
    (delivery,) = answer.json["deliveries"]
    assert (delivery["state"], delivery["attempt"]) == ("succeeded", 3)


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_page_of_another_site_cannot_publish(shared_server: ServerProcess, origin: str) -> None:
    answer = shared_server.api.request(
        "POST",
        "/api/events",
        '{"type": "a.b"}',
        {"Content-Type": "application/json", "Origin": origin},
    )
    assert answer.status == 403


def test_markup_in_an_event_comes_back_as_the_text_it_is(shared_server: ServerProcess) -> None:
    text = "<script>alert('x')</script>"
    receipt = shared_server.api.publish("a.b", {text: text}, subject=text)
    answer = shared_server.api.get(f"/api/events/{receipt['id']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["data"] == {text: text}
