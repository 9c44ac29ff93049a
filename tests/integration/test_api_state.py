"""What the handlers made of the events: evaluations, alerts, queues, metrics, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture
def api(shared_server: ServerProcess) -> Api:
    return shared_server.api


def raise_alert(api: Api, kind: str, severity: str = "critical") -> str:
    api.publish(f"alert.{severity}", {"service": "test", "error": {"type": kind, "message": "m"}})
    alerts = api.get("/api/alerts", limit=1000).json["alerts"]
    return next(str(alert["id"]) for alert in alerts if alert["error"]["type"] == kind)


def test_an_evaluation_is_followed_from_its_start_to_its_result(api: Api) -> None:
    data = {"eval_id": "e-1", "task": "arithmetic", "model": "m", "total": 10}
    api.publish("evaluation.started", data)
    api.publish("evaluation.progress", {"eval_id": "e-1", "done": 4, "total": 10})
    found = api.get("/api/evaluations/e-1").json
    assert (found["state"], found["attempt"], found["done"], found["total"]) == ("active", 1, 4, 10)
    assert found["finished_at"] is None

    api.publish("evaluation.completed", {"eval_id": "e-1", "result": {"accuracy": 0.9}})
    found = api.get("/api/evaluations/e-1").json
    assert (found["state"], found["result"]) == ("completed", {"accuracy": 0.9})
    assert found["started_at"] < found["finished_at"]
    types = [event["type"] for event in found["events"] if event["type"].startswith("evaluation")]
    assert types == ["evaluation.started", "evaluation.progress", "evaluation.completed"]


def test_the_evaluations_are_listed_by_state_with_pages(api: Api) -> None:
    for n in range(5):
        api.publish("evaluation.started", {"eval_id": f"page-{n}"})
    for n in range(4):
        api.publish("evaluation.completed", {"eval_id": f"page-{n}", "result": n})
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get("/api/evaluations", state="completed", limit=2, cursor=cursor).json
        assert len(page["evaluations"]) <= 2
        found += [item["eval_id"] for item in page["evaluations"]]
        cursor = page["next"]
    assert {f"page-{n}" for n in range(4)} <= set(found)
    assert len(found) == len(set(found))


def test_evaluations_are_filtered_and_sorted_in_every_column(api: Api) -> None:
    for n, model in enumerate(["small", "large", "large"]):
        data = {"eval_id": f"sort-{n}", "task": "sorting", "model": model}
        api.publish("evaluation.started", data)
        api.publish("evaluation.failed", {**data, "error": {"type": "Odd", "message": f"no {n}"}})

    def ids(**asked: Any) -> list[str]:
        found = api.get("/api/evaluations", task="sorting", **asked).json["evaluations"]
        return [each["eval_id"] for each in found]

    assert ids() == ["sort-2", "sort-1", "sort-0"]
    assert ids(sort="eval_id", order="asc") == ["sort-0", "sort-1", "sort-2"]
    assert ids(sort="model", order="desc") == ["sort-0", "sort-2", "sort-1"]
    assert ids(model="large", q="NO 1") == ["sort-1"]
    assert ids(state="completed") == []
    for wrong in ({"sort": "colour"}, {"order": "up"}, {"sort": "model", "cursor": "MQ"}):
        assert api.get("/api/evaluations", **wrong).status == 400


def test_an_evaluation_is_cancelled_by_somebody_and_asked_for_again(api: Api) -> None:
    api.publish("evaluation.started", {"eval_id": "stop/me"})
    before = api.counters()
    asked = api.post("/api/evaluations/stop/me/cancel", {"by": "ana"})
    assert (asked.status, asked.json["state"], asked.json["handled"]) == (200, "cancelled", True)
    after = api.counters()
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["active"] == before["active"] - 1
    event = api.get(f"/api/events/{asked.json['event']['id']}").json
    assert (event["type"], event["data"]["by"]) == ("evaluation.cancelled", "ana")
    again = api.post("/api/evaluations/stop/me/cancel", {"by": "bob"})
    assert again.status == 409 and "cancelled already" in again.json["detail"]
    assert [
        each["eval_id"]
        for each in api.get("/api/evaluations", state="cancelled").json["evaluations"]
    ] == ["stop/me"]

    retried = api.post("/api/evaluations/stop/me/retry", {"by": "ana"}).json
    assert (retried["state"], retried["attempt"]) == ("retrying", 2)
    refused = api.post("/api/evaluations/stop/me/retry", {"by": "ana"})
    assert refused.status == 409 and "waits for its runner" in refused.json["detail"]
    assert api.post("/api/evaluations/nobody/cancel", {}).status == 404
    assert (
        api.post("/api/evaluations/stop/me/cancel", {"by": 7}).json["errors"][0]["pointer"] == "/by"
    )


def test_the_files_of_an_evaluation_stand_with_it(api: Api) -> None:
    api.publish("evaluation.started", {"eval_id": "e-2"})
    api.publish("storage.file.created", {"path": "/logs/e-2.json", "bytes": 7, "eval_id": "e-2"})
    (file,) = api.get("/api/evaluations/e-2").json["files"]
    assert (file["path"], file["bytes"]) == ("/logs/e-2.json", 7)


def test_counters_move_with_the_events(api: Api) -> None:
    before = api.counters()
    api.publish("evaluation.started", {"eval_id": "c-1"})
    assert api.counters()["active"] == before["active"] + 1
    api.publish("evaluation.failed", {"eval_id": "c-1", "error": "boom"})
    wait_until(lambda: api.counters()["retrying"] == before["retrying"] + 1, "it is retrying")
    after = api.counters()
    assert after["active"] == before["active"]
    assert after["failed"] == before["failed"] + 1
    stats = api.get("/api/stats").json
    assert stats.keys() == {"sequence", "rate", "counters"}
    assert stats["counters"].keys() == {
        "active", "retrying", "completed", "failed", "exhausted", "stalled", "cancelled",
        "queue_depth", "open_alerts", "dead_letters",
    }  # fmt: skip


def test_alerts_of_one_kind_are_one_alert(api: Api) -> None:
    name = raise_alert(api, "Grouped")
    assert raise_alert(api, "Grouped") == name
    alert = api.get(f"/api/alerts/{name}").json
    assert (alert["occurrences"], alert["state"], alert["severity"]) == (2, "open", "critical")
    assert alert.keys() >= {"id", "fingerprint", "service", "error", "first_seen", "last_seen"}


def test_an_alert_is_acknowledged_then_resolved_then_regresses(api: Api) -> None:
    name = raise_alert(api, "Lifecycle")
    answer = api.post(f"/api/alerts/{name}/acknowledge", {"by": "eva"})
    assert answer.status == 200
    assert (answer.json["state"], answer.json["by"]) == ("acknowledged", "eva")
    event = api.get(f"/api/events/{answer.json['event']['id']}").json
    assert event["type"] == "alert.acknowledged"
    assert event["data"] == {"alert_id": name, "by": "eva"}

    assert api.post(f"/api/alerts/{name}/resolve").json["state"] == "resolved"
    assert api.post(f"/api/alerts/{name}/acknowledge").status == 409
    raise_alert(api, "Lifecycle")
    assert api.get(f"/api/alerts/{name}").json["state"] == "regressed"
    open_ones = api.get("/api/alerts", state="open", limit=1000).json["alerts"]
    assert name in {alert["id"] for alert in open_ones}


def test_acknowledging_twice_records_it_once(api: Api) -> None:
    name = raise_alert(api, "Twice")
    api.post(f"/api/alerts/{name}/acknowledge", {"by": "eva"})
    before = api.get("/api/stats").json["sequence"]
    again = api.post(f"/api/alerts/{name}/acknowledge", {"by": "bob"})
    assert (again.status, again.json["by"]) == (200, "eva")
    assert api.get("/api/stats").json["sequence"] == before


@pytest.mark.parametrize("span", ["1h", "24h", "worse"])
def test_an_alert_can_be_muted_for_a_time_or_until_it_worsens(api: Api, span: str) -> None:
    name = raise_alert(api, f"Muted{span}", "warning")
    alert = api.post(f"/api/alerts/{name}/mute", {"for": span, "by": "eva"}).json
    assert alert["state"] == "muted"
    assert (alert["muted_until"] is None) == (span == "worse")
    raise_alert(api, f"Muted{span}", "warning")
    assert api.get(f"/api/alerts/{name}").json["state"] == "muted"


@pytest.mark.parametrize(
    ("action", "body", "pointer"),
    [
        ("mute", {}, "/for"),
        ("mute", {"for": "2h"}, "/for"),
        ("mute", {"for": ["1h"]}, "/for"),
        ("mute", {"for": "1h", "by": 7}, "/by"),
        ("acknowledge", {"by": ""}, "/by"),
        ("acknowledge", {"by": "a\nb"}, "/by"),
        ("resolve", {"by": "x" * 101}, "/by"),
    ],
)
def test_a_wrong_change_of_an_alert_is_refused(
    api: Api, action: str, body: dict[str, object], pointer: str
) -> None:
    name = raise_alert(api, "Refused")
    before = api.get("/api/stats").json["sequence"]
    answer = api.post(f"/api/alerts/{name}/{action}", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["pointer"] == pointer
    assert api.get("/api/stats").json["sequence"] == before


def test_a_form_can_change_an_alert_too(api: Api) -> None:
    name = raise_alert(api, "ByForm")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = api.request("POST", f"/api/alerts/{name}/mute", "for=1h&by=eva", headers)
    assert (answer.status, answer.json["state"]) == (200, "muted")


def test_queues_show_what_waits(api: Api) -> None:
    for task in ("t1", "t2"):
        api.publish("queue.task.added", {"queue": "gpu", "task_id": task})
    api.publish("queue.task.processed", {"queue": "gpu", "task_id": "t1"})
    queue = next(q for q in api.get("/api/queues").json["queues"] if q["name"] == "gpu")
    assert (queue["depth"], queue["added"], queue["processed"]) == (1, 2, 1)


def test_metrics_show_their_last_value_and_history(api: Api) -> None:
    for value in (1.5, 2.5):
        api.publish("monitoring.metric.recorded", {"metric": "gpu/util", "value": value})
    metric = next(m for m in api.get("/api/metrics").json["metrics"] if m["name"] == "gpu/util")
    assert metric["value"] == 2.5
    history = api.get("/api/metrics/gpu/util").json["history"]
    assert sorted(point["value"] for point in history) == [1.5, 2.5]


def test_the_flow_tells_what_went_from_type_by_handler_to_type(api: Api) -> None:
    def edges() -> dict[tuple[str, str], dict[str, object]]:
        found = api.get("/api/flow", window="5m").json["edges"]
        return {(edge["from"], edge["to"]): edge for edge in found}

    for n in range(3):
        api.publish("evaluation.started", {"eval_id": f"flow-{n}"})
    handled = ("type:evaluation.started", "handler:evaluation")
    caused = ("handler:evaluation", "type:metrics.evaluation.started")
    wait_until(lambda: edges().get(caused, {}).get("count", 0) >= 3, "what was caused is counted")
    wait_until(lambda: edges().get(handled, {}).get("count", 0) >= 3, "what was handled is counted")
    assert edges()[handled]["p95_ms"] > 0
    assert edges()[handled]["state"] == "active"
    backwards = {"since": "2002-01-01T00:00:00Z", "until": "2001-01-01T00:00:00Z"}
    for query, field in [
        ({"window": "1y"}, "window"), ({"window": "900d"}, "window"), ({"group": "x"}, "group"),
        ({"since": "tomorrow"}, "since"), (backwards, "since"),
    ]:  # fmt: skip
        answer = api.get("/api/flow", **query)
        assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, field)


def test_a_paused_subscription_keeps_what_comes_until_it_is_resumed(api: Api) -> None:
    def queue() -> dict[str, object]:
        found = api.get("/api/subscriptions").json["subscriptions"]
        return next(each for each in found if each["name"] == "queue")

    paused = api.post("/api/subscriptions/queue/pause", {"by": "ann", "reason": "maintenance"})
    assert (paused.status, paused.json["state"], paused.json["changed"]) == (200, "paused", True)
    again = api.post("/api/subscriptions/queue/pause", {"by": "bob"}).json
    assert (again["paused_by"], again["changed"]) == ("ann", False)
    api.post("/api/events", {"type": "queue.task.added", "data": {"queue": "q", "task_id": "p-1"}})
    assert (queue()["state"], queue()["lag"]) == ("paused", 1)
    resumed = api.post("/api/subscriptions/queue/resume", {"by": "bob"}).json
    assert (resumed["state"], resumed["paused_by"]) == ("served", None)
    wait_until(lambda: queue()["lag"] == 0, "the event is handled")
    trail = api.get("/api/events", type="subscription.*", subject="queue").json["events"]
    assert [(event["type"], event["data"]["by"]) for event in trail] == [
        ("subscription.resumed", "bob"),
        ("subscription.paused", "ann"),
    ]
    assert api.post("/api/subscriptions/nobody/pause", {}).status == 404
    wrong = api.post("/api/subscriptions/queue/pause", {"reason": 7})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (400, "/reason")


def test_subscriptions_show_lag_and_durations(api: Api) -> None:
    api.publish("evaluation.started", {"eval_id": "s-1"})
    subscriptions = {s["name"]: s for s in api.get("/api/subscriptions").json["subscriptions"]}
    assert subscriptions.keys() >= {"evaluation", "queue", "monitoring", "storage", "alert"}
    evaluation = subscriptions["evaluation"]
    assert evaluation["pattern"].startswith("evaluation.")
    assert evaluation["lag"] == 0
    assert evaluation["p50_ms"] <= evaluation["p95_ms"] <= evaluation["p99_ms"]
    assert evaluation["failures"] == 0


def test_a_delivery_that_fails_for_good_is_a_dead_letter(
    start_server: Callable[..., ServerProcess],
) -> None:
    api = start_server(
        "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="2", EVENTBUS_BACKOFF_FIRST_S="0.01"
    ).api
    receipt = api.publish("trouble.flaky", {"failures": 9})
    wait_until(lambda: api.counters()["dead_letters"] == 1, "the delivery is dead")
    (dead,) = api.get("/api/deliveries").json["deliveries"]
    assert (dead["event_id"], dead["subscription"], dead["attempt"]) == (receipt["id"], "flaky", 2)
    assert api.get("/api/deliveries/counts").json["counts"]["dead"] == 1
    assert api.get("/api/deliveries", state="pending").json["deliveries"] == []
    (delivery,) = api.get(f"/api/events/{receipt['id']}/deliveries").json["deliveries"]
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2]


def test_health_and_readiness(api: Api) -> None:
    assert api.get("/healthz").json == {"status": "ok"}
    ready = api.get("/readyz")
    assert (ready.status, ready.json["status"]) == (200, "ready")


def test_several_alerts_are_decided_about_at_once(api: Api) -> None:
    names = [raise_alert(api, f"Many{letter}", "warning") for letter in "AB"]
    done = raise_alert(api, "ManyC", "warning")
    api.post(f"/api/alerts/{done}/resolve")
    answer = api.post("/api/alerts/mute", {"ids": [*names, done, "x"], "for": "1h", "by": "eva"})
    assert answer.status == 200
    assert answer.json == {
        "changed": names, "unchanged": [done], "unknown": ["x"], "handled": True,
    }  # fmt: skip
    assert {api.get(f"/api/alerts/{name}").json["state"] for name in names} == {"muted"}
    assert api.post(f"/api/alerts/{names[0]}/unmute").json["state"] == "open"
    assert api.post(f"/api/alerts/{names[0]}/unmute").status == 409
    for wrong in ({}, {"ids": []}, {"ids": "x"}, {"ids": [7]}, {"ids": ["x"] * 501}):
        answer = api.post("/api/alerts/resolve", wrong)
        assert answer.status == 400
        assert answer.json["errors"][0]["pointer"] in ("/ids", "/ids/0")
    assert api.post("/api/alerts/frobnicate", {"ids": names}).status == 404


def test_the_history_of_an_alert_names_who_decided(api: Api) -> None:
    name = raise_alert(api, "Told")
    api.post(f"/api/alerts/{name}/resolve", {"by": "eva"})
    raise_alert(api, "Told")
    history = api.get(f"/api/alerts/{name}/history").json
    assert [(c["change"], c["by"]) for c in history["changes"]] == [
        ("regressed", None), ("resolved", "eva"), ("raised", None),
    ]  # fmt: skip
    assert len(history["occurrences"]) == 2
    assert history["last_24h"]["bucket_s"] == 600
    assert len(history["last_24h"]["counts"]) == 144
    assert sum(history["last_24h"]["counts"]) == 2


def test_alerts_are_filtered_by_severity(api: Api) -> None:
    name = raise_alert(api, "Severe", "info")
    found = api.get("/api/alerts", severity="info", limit=1000).json["alerts"]
    assert name in {alert["id"] for alert in found}
    assert {alert["severity"] for alert in found} == {"info"}
    assert api.get("/api/alerts", severity="loud").status == 400
    assert api.get("/api/alerts", quiet="perhaps").status == 400
