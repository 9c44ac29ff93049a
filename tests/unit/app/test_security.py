"""What every request has to pass and every answer carries."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import problems, security
from app.config import Settings

OURS = "http://localhost:8000"


def client(**changes: object) -> FlaskClient:
    app = Flask(__name__)
    problems.register(app)
    security.register(app, Settings(**changes))

    @app.route("/api/thing", methods=["GET", "POST"])
    def thing() -> str:
        return "done"

    return app.test_client()


@pytest.fixture(scope="module")
def browser() -> FlaskClient:
    return client()


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]"]
)
def test_the_loopback_names_are_answered(browser: FlaskClient, host: str) -> None:
    assert browser.get("/api/thing", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "[::2]", "", "[", "@"])
def test_a_name_that_is_not_ours_is_refused(browser: FlaskClient, host: str) -> None:
    answer = browser.get("/api/thing", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.content_type == "application/problem+json"


def test_a_configured_domain_is_answered_with_all_below_it() -> None:
    behind_proxy = client(allowed_hosts=(".example.org",))
    ask = behind_proxy.get("/api/thing", headers={"Host": "bus.example.org"})
    assert ask.status_code == 200
    ask = behind_proxy.get("/api/thing", headers={"Host": "badexample.org"})
    assert ask.status_code == 421


def test_any_name_is_answered_when_that_is_configured() -> None:
    answer = client(allowed_hosts=()).get("/api/thing", headers={"Host": "whatever:1"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_post(browser: FlaskClient, headers: dict[str, str]) -> None:
    answer = browser.post("/api/thing", headers=headers, base_url=OURS)
    assert answer.status_code == 403
    assert answer.json["title"] == "Other origin"


def test_a_page_of_another_site_cannot_open_a_websocket(browser: FlaskClient) -> None:
    headers = {"Origin": "http://evil.example", "Upgrade": "WebSocket", "Connection": "Upgrade"}
    assert browser.get("/api/thing", headers=headers, base_url=OURS).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": OURS}, {"Origin": "http://LOCALHOST:8000"}, {"Sec-Fetch-Site": "none"}],
)
def test_programs_and_our_own_pages_can_post(browser: FlaskClient, headers: dict[str, str]) -> None:
    assert browser.post("/api/thing", headers=headers, base_url=OURS).status_code == 200


def test_reading_is_not_bound_to_an_origin(browser: FlaskClient) -> None:
    answer = browser.get("/api/thing", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_every_answer_has_the_strict_headers_also_errors(browser: FlaskClient) -> None:
    for path in ("/api/thing", "/api/nothing"):
        headers = browser.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
