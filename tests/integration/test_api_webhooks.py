"""Webhooks over the real server: made by the API, delivered to a real endpoint, told in events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handlers.standard_webhooks import key_of, verify
from tests.helpers.api import Answer, Api
from tests.helpers.receivers import HttpReceiver
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ServerProcess(
        tmp_path_factory.mktemp("server"), EVENTBUS_WEBHOOK_NETWORKS="127.0.0.0/8"
    ) as server:
        yield server.api


def send(api: Api, method: str, path: str, body: Any) -> Answer:
    headers = {"Content-Type": "application/json"}
    return api.request(method, path, None if body is None else json.dumps(body), headers)


def make(api: Api, name: str, url: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/webhooks", {"name": name, "pattern": f"{name}.*", "url": url, **more})
    assert answer.status == 201, answer.json
    found: dict[str, Any] = answer.json
    return found


def test_a_webhook_lives_from_its_making_to_its_end(api: Api, http: HttpReceiver) -> None:
    made = make(api, "shop", f"{http.url}/in/path-token", by="ana", concurrency=2)
    assert made["secret"].startswith("whsec_")
    assert made["url"] == f"{http.url}/…"
    assert (made["concurrency"], made["max_attempts"], made["state"]) == (2, 20, "served")
    api.post("/api/events", {"type": "shop.opened", "data": {"n": 1}})
    (taken,) = http.wait_for(1)
    headers = {name.lower(): value for name, value in taken.headers.items()}
    verify([key_of(made["secret"])], headers, taken.body, time.time())
    assert json.loads(taken.body)["type"] == "shop.opened"

    one = api.get("/api/webhooks/shop").json
    assert "secret" not in one
    assert "path-token" not in json.dumps(api.get("/api/webhooks").json)
    assert "shop" in [each["name"] for each in api.get("/api/webhooks").json["webhooks"]]

    changed = send(api, "PATCH", "/api/webhooks/shop", {"pattern": "bill.*", "by": "bo"})
    assert (changed.status, changed.json["pattern"]) == (200, "bill.*")
    rotated = api.post("/api/webhooks/shop/rotate", {"by": "bo"}).json
    assert rotated["secret"] not in (made["secret"], None)
    assert rotated["previous_secret_until"] is not None
    tested = api.post("/api/webhooks/shop/test", {"by": "cy"})
    assert (tested.status, tested.json["answer"]) == (200, "200 OK")
    assert json.loads(http.wait_for(2)[1].body)["type"] == "webhook.test"

    ended = send(api, "DELETE", "/api/webhooks/shop", {"by": "di"})
    assert (ended.status, ended.json["name"]) == (200, "shop")
    assert api.get("/api/webhooks/shop").status == 404
    told = api.get("/api/events", type="webhook.*", subject="webhook-shop", order="asc").json
    assert [(e["type"].partition(".")[2], e["data"]["by"]) for e in told["events"]] == [
        ("created", "ana"), ("changed", "bo"), ("rotated", "bo"), ("tested", "cy"),
        ("deleted", "di"),
    ]  # fmt: skip
    assert "whsec_" not in json.dumps(told)
    assert "path-token" not in json.dumps(told)


def test_its_deliveries_are_those_of_every_subscription(api: Api, http: HttpReceiver) -> None:
    http.answers = [(500, {}, b"broken")]
    make(api, "failing", http.url, max_attempts=1)
    api.post("/api/events", {"type": "failing.x", "data": {}})

    def dead() -> list[dict[str, Any]]:
        query = {"state": "dead", "subscription": "webhook-failing"}
        found: list[dict[str, Any]] = api.get("/api/deliveries", **query).json["deliveries"]
        return found

    (delivery,) = wait_until(dead, "it is a dead letter")
    assert "127.0.0.1 answered 500" in json.dumps(delivery)
    assert api.get("/api/webhooks/failing").json["dead"] == 1
    paused = api.post("/api/subscriptions/webhook-failing/pause", {"by": "ana", "reason": "no"})
    assert paused.status == 200
    assert api.get("/api/webhooks/failing").json["state"] == "paused"
    assert api.get("/handlers/webhook-failing").status == 200


def test_a_test_that_is_not_taken_says_why(api: Api, http: HttpReceiver) -> None:
    http.answers = [(403, {}, b"who are you")]
    make(api, "refusing", http.url)
    answer = api.post("/api/webhooks/refusing/test", {})
    assert answer.status == 502
    assert "answered 403 Forbidden: who are you" in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/name", "/pattern", "/url"}),
        ({"name": "a", "pattern": "a.*", "url": "http://x", "color": 1}, {"/color"}),
        ({"name": "A", "pattern": "", "url": "file:///etc"}, {"/name", "/pattern", "/url"}),
        ({"name": "a", "pattern": "a.*", "url": "http://x", "secret": "s"}, {"/secret"}),
        ({"name": "a", "pattern": "a.*", "url": "http://x", "handshake": 1}, {"/handshake"}),
        ({"name": "a", "pattern": "a.*", "url": "http://x", "handshake": True}, {"/url"}),
    ],
)
def test_a_wrong_webhook_names_each_field(api: Api, body: Any, pointers: set[str]) -> None:
    answer = api.post("/api/webhooks", body)
    assert answer.status == 400
    assert {error["pointer"] for error in answer.json["errors"]} == pointers


def test_names_are_taken_once_and_unknown_ones_are_not_found(api: Api, http: HttpReceiver) -> None:
    make(api, "once", http.url)
    again = api.post("/api/webhooks", {"name": "once", "pattern": "a", "url": http.url})
    assert again.status == 409
    for method, path in (
        ("GET", "/api/webhooks/no"), ("PATCH", "/api/webhooks/no"), ("DELETE", "/api/webhooks/no"),
        ("POST", "/api/webhooks/no/rotate"), ("POST", "/api/webhooks/no/test"),
    ):  # fmt: skip
        assert send(api, method, path, {} if method != "GET" else None).status == 404, path
    assert api.post("/api/webhooks/once/rotate", {"keep_s": -1}).status == 400
    assert send(api, "PATCH", "/api/webhooks/once", {"name": "other"}).status == 400


def test_a_private_address_is_refused_unless_it_is_allowed(
    start_server: Callable[..., ServerProcess], http: HttpReceiver
) -> None:
    api = start_server().api
    answer = api.post("/api/webhooks", {"name": "inside", "pattern": "a.*", "url": http.url})
    assert answer.status == 400
    assert answer.json["errors"][0]["pointer"] == "/url"
    assert "EVENTBUS_WEBHOOK_NETWORKS" in answer.json["detail"]
    assert api.get("/api/webhooks").json["webhooks"] == [] and http.taken == []
