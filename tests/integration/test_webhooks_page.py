"""The page of webhooks without a browser: forms, what they answer, and the secret once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.helpers.api import Answer
from tests.helpers.receivers import HttpReceiver
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(
        directory, EVENTBUS_WEBHOOK_NETWORKS="127.0.0.0/8",
        EVENTBUS_PUBLIC_URL="https://bus.example.org",
    ) as server:  # fmt: skip
        yield server


def send(server: ServerProcess, **fields: str) -> Answer:
    return server.api.request("POST", "/webhooks", urlencode(fields), _FORM)


def test_a_webhook_is_made_tested_given_a_new_secret_and_deleted(
    server: ServerProcess, http: HttpReceiver
) -> None:
    url = f"{http.url}/path-token"
    made = send(server, name="shop", pattern="order.*", url=url, mode="binary")
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", made.text))
    assert made.status == 200
    assert made.headers["cache-control"] == "no-store"
    page = server.api.get("/webhooks").text
    assert secret not in page
    assert "path-token" not in page
    assert "shop" in page

    assert send(server, do="test", name="shop").status == 303
    assert [taken.path for taken in http.wait_for(1)] == ["/path-token"]
    assert "the answer was" in server.api.get("/webhooks").text
    http.answers = [(500, {}, b"<script>alert(1)</script>")]
    assert send(server, do="test", name="shop").status == 303
    page = server.api.get("/webhooks").text
    assert "not taken" in page
    assert "<script>alert" not in page

    rotated = send(server, do="rotate", name="shop")
    assert secret not in rotated.text
    assert "whsec_" in rotated.text
    assert send(server, do="delete", name="shop").status == 303
    assert "No webhooks yet" in server.api.get("/webhooks").text


def test_what_is_wrong_stands_at_its_field_with_what_was_typed(server: ServerProcess) -> None:
    answer = send(server, name='"><b>', pattern="a..b", url="nowhere")
    assert answer.status == 422
    for field in ("name", "pattern", "url"):
        assert f'id="e-{field}" role="alert"' in answer.text
    assert "&#34;&gt;&lt;b&gt;" in answer.text
    assert 'value="a..b"' in answer.text


def test_a_name_that_is_taken_and_actions_on_nothing_are_said(
    server: ServerProcess, http: HttpReceiver
) -> None:
    send(server, name="twice", pattern="a.*", url=http.url)
    again = send(server, name="twice", pattern="a.*", url=http.url)
    assert (again.status, "there is a webhook" in again.text) == (422, True)
    for do in ("rotate", "delete", "test"):
        assert send(server, do=do, name="nobody").status == 404
    assert send(server, do="explode", name="twice").status == 400


def test_an_endpoint_that_is_asked_first_has_to_consent(
    server: ServerProcess, http: HttpReceiver
) -> None:
    form = {"name": "asked", "pattern": "a.*", "url": http.url, "handshake": "yes"}
    refused = send(server, **form)
    assert refused.status == 422 and "does not say that bus.example.org may send" in refused.text
    assert 'value="yes" checked' in refused.text
    http.consent = {"WebHook-Allowed-Origin": "bus.example.org"}
    assert "whsec_" in send(server, **form).text


def test_a_webhook_whose_deliveries_fail_is_no_green_card(
    server: ServerProcess, http: HttpReceiver
) -> None:
    http.answers = [(500, {}, b"")] * 50
    assert send(server, name="failing", pattern="fail.*", url=http.url).status == 200
    assert "serving" in card(server, "failing")
    server.api.publish("fail.this")
    wait_until(lambda: "deliveries fail" in card(server, "failing"), "the card says so")
    assert "hue-amber" in card(server, "failing") and "serving" not in card(server, "failing")


def card(server: ServerProcess, name: str) -> str:
    page = server.api.get("/webhooks").text
    return page.partition(f'id="webhook-{name}"')[2].partition("</li>")[0].partition("<dl")[0]
