"""Dead letters over HTTP: found, redriven, discarded; replays; following and stopping them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.helpers.api import Answer, Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

FAST = {"EVENTBUS_MAX_ATTEMPTS": "1"}


@pytest.fixture
def api(start_server: Callable[..., ServerProcess]) -> Iterator[Api]:
    yield start_server("tests.helpers.trouble:app", **FAST).api


def die(api: Api, count: int, failures: int = 1) -> list[dict[str, Any]]:
    """Dead letters of the subscription "flaky", which succeed after so many failures."""
    return [
        api.publish("trouble.flaky", {"failures": failures}, subject=f"s{n}") for n in range(count)
    ]


def dead(api: Api, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/api/deliveries", **query).json["deliveries"]
    return found


def ended(api: Api, answer: Answer) -> dict[str, Any]:
    assert answer.status == 202, answer.text
    path = answer.headers["location"]

    def found() -> Any:
        operation = api.get(path).json
        return operation if operation["state"] != "running" else None

    return dict(wait_until(found, f"{path} has ended", 30.0))


def pointers(answer: Answer) -> list[str]:
    assert answer.status == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["pointer"] for error in answer.json["errors"]]


def test_dead_letters_are_found_by_condition(api: Api) -> None:
    die(api, 3)
    assert len(dead(api, type="trouble.*", subscription="flaky", error_class="ValueError")) == 3
    assert dead(api, type="other.*") == []
    assert dead(api, error_class="KeyError") == []
    assert dead(api, state="discarded") == []
    first = dead(api)[-1]
    assert len(dead(api, until=first["finished_at"])) == 0
    assert len(dead(api, since=first["finished_at"])) == 3
    assert api.get("/api/deliveries", since="yesterday").status == 400


def test_a_redrive_is_tried_first_then_done_and_followed(api: Api) -> None:
    receipts = die(api, 4)
    body = {"filter": {"type": "trouble.flaky", "subscription": "flaky"}, "by": "ann"}
    preview = api.post("/api/deliveries/redrive", {**body, "dry_run": True})
    assert preview.status == 200
    assert preview.json["total"] == 4
    assert preview.json["subscriptions"] == {"flaky": 4}
    assert len(dead(api)) == 4
    operation = ended(api, api.post("/api/deliveries/redrive", {**body, "reason": "mended"}))
    assert (operation["state"], operation["total"], operation["done"]) == ("finished", 4, 4)
    assert (operation["by"], operation["reason"]) == ("ann", "mended")
    assert operation["selection"] == body["filter"]
    wait_until(lambda: not dead(api), "none is dead")

    def redriven() -> dict[str, Any]:
        path = f"/api/events/{receipts[0]['id']}/deliveries"
        deliveries = api.get(path).json["deliveries"]
        (found,) = [d for d in deliveries if d["subscription"] == "flaky"]
        return found

    wait_until(lambda: redriven()["state"] == "succeeded", "it is delivered again")
    delivery = redriven()
    assert delivery["round"] == 2
    tries = [(a["round"], a["number"], a["outcome"]) for a in delivery["attempts"]]
    assert tries == [(1, 1, "failed"), (2, 1, "succeeded")]
    assert delivery["interventions"][0]["operation"] == operation["id"]
    listed = api.get("/api/operations").json["operations"]
    assert [one["id"] for one in listed] == [operation["id"]]
    types = [e["type"] for e in api.get("/api/events", type="bus.redrive.*").json["events"]]
    assert types == ["bus.redrive.finished", "bus.redrive.started"]


def test_single_dead_letters_are_redriven_and_discarded(api: Api) -> None:
    first, second, _third = (r["sequence"] for r in die(api, 3))
    one = {"deliveries": [{"sequence": first, "subscription": "flaky"}]}
    assert ended(api, api.post("/api/deliveries/redrive", one))["done"] == 1
    other = {"deliveries": [{"sequence": second, "subscription": "flaky"}], "reason": "a test"}
    assert ended(api, api.post("/api/deliveries/discard", other))["done"] == 1
    assert len(dead(api)) == 1
    (discarded,) = dead(api, state="discarded")
    assert discarded["sequence"] == second
    assert discarded["interventions"][0]["reason"] == "a test"
    assert api.counters()["dead_letters"] == 1


def test_a_replay_is_to_one_subscription_and_can_be_stopped(api: Api) -> None:
    for receipt in die(api, 3, failures=0):
        assert receipt["handled"]
    body = {"subscription": "flaky", "type": "trouble.*"}
    assert api.post("/api/deliveries/replay", {**body, "dry_run": True}).json["total"] == 3
    slow = api.post("/api/deliveries/replay", {**body, "rate": 0.01, "by": "ann"})
    assert slow.status == 202
    stopped = api.post(f"{slow.headers['location']}/stop", {"by": "bob"})
    assert (stopped.status, stopped.json["state"]) == (200, "stopped")
    assert (stopped.json["stopped_by"], stopped.json["by"]) == ("bob", "ann")

    def all_are_handled() -> bool:
        return api.get("/api/deliveries/counts").json["counts"]["pending"] == 0

    wait_until(all_are_handled, "what it did is handled: a replay skips what is pending")
    assert ended(api, api.post("/api/deliveries/replay", body))["done"] == 3
    # What the handler published is a duplicate the second time.
    wait_until(all_are_handled, "done")
    assert len(api.get("/api/events", type="trouble.counted").json["events"]) == 3


def test_a_read_model_is_rebuilt_and_not_replayed_to(api: Api) -> None:
    answer = api.post("/api/deliveries/replay", {"subscription": "evaluation"})
    assert answer.status == 409
    assert "flask rebuild" in answer.json["detail"]


KEY = {"sequence": 1, "subscription": "trouble"}


def test_wrong_bodies_are_told_member_by_member_and_change_nothing(api: Api) -> None:
    die(api, 1)
    redrive, discard, replay = (f"/api/deliveries/{n}" for n in ("redrive", "discard", "replay"))
    assert pointers(api.post(redrive, {})) == ["/filter"]
    assert pointers(api.post(redrive)) == ["/filter"]
    assert pointers(api.post(redrive, {"filter": {}, "deliveries": [KEY]})) == ["/filter"]
    assert pointers(api.post(redrive, {"filter": {"subscripton": "flaky"}})) == [
        "/filter/subscripton"
    ]
    assert pointers(api.post(redrive, {"filter": {"subscription": "nobody", "type": "a..b"}})) == [
        "/filter/type", "/filter/subscription",
    ]  # fmt: skip
    assert pointers(api.post(redrive, {"filter": {"since": 5, "until": "x"}})) == [
        "/filter/since", "/filter/until",
    ]  # fmt: skip
    wrong = {"deliveries": [{"sequence": "1"}, 7, {"sequence": 1, "subscription": "flaky"}]}
    assert pointers(api.post(redrive, wrong)) == [
        "/deliveries/0/sequence", "/deliveries/0/subscription", "/deliveries/1",
    ]  # fmt: skip
    assert pointers(api.post(redrive, {"filter": {}, "dry_run": "yes"})) == ["/dry_run"]
    assert pointers(api.post(redrive, {"filter": {}, "by": ""})) == ["/by"]
    assert pointers(api.post(discard, {"filter": {}})) == ["/reason"]
    assert pointers(api.post(replay, {})) == ["/subscription"]
    assert pointers(api.post(replay, {"subscription": "flaky", "rate": 0, "first": -1})) == [
        "/first", "/rate",
    ]  # fmt: skip
    assert api.get("/api/operations/99").status == 404
    assert api.post("/api/operations/99/stop", {}).status == 404
    assert api.get(f"/api/operations/{10**30}").status == 404
    assert len(dead(api)) == 1
    assert api.get("/api/operations").json["operations"] == []


def test_a_redrive_goes_on_after_the_server_was_killed(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("tests.helpers.trouble:app", **FAST)
    events = [
        {"type": "trouble.flaky", "data": {"failures": 1}, "subject": f"s{n}"} for n in range(2_000)
    ]
    server.api.post("/api/events", events)
    counts = "/api/deliveries/counts"
    wait_until(lambda: server.api.get(counts).json["counts"]["dead"] == 2_000, "all are dead", 30.0)
    answer = server.api.post("/api/deliveries/redrive", {"filter": {}})
    assert answer.status == 202
    server.kill9()
    server.start()
    operation = ended(server.api, answer)
    assert (operation["state"], operation["done"], operation["skipped"]) == ("finished", 2_000, 0)


def test_what_waits_for_a_retry_is_tried_now_and_groups_tell_of_what_died(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(
        "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="2", EVENTBUS_BACKOFF_FIRST_S="300"
    )
    api = server.api
    event = api.publish("trouble.flaky", {"failures": 9}, subject="s")
    key = {"sequence": event["sequence"], "subscription": "flaky"}
    wait_until(lambda: dead(api, state="retrying"), "it waits")
    answer = api.post("/api/deliveries/retry", {"deliveries": [key], "by": "ann"})
    assert (answer.status, answer.json) == (202, {"retried": 1, "deliveries": [key]})
    wait_until(lambda: dead(api), "it has failed for good")
    assert api.post("/api/deliveries/retry", {"deliveries": [key]}).json["retried"] == 0
    (group,) = api.get("/api/deliveries/groups", subscription="flaky").json["groups"]
    assert (group["type"], group["error_class"], group["count"]) == (
        "trouble.flaky", "ValueError", 1,
    )  # fmt: skip
    assert api.get("/api/deliveries/groups", error_class="KeyError").json["groups"] == []
    assert pointers(api.post("/api/deliveries/retry", {})) == ["/deliveries"]
