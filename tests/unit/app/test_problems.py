"""Errors become problem documents for programs, and never show what is inside."""

from __future__ import annotations

import json
import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import ClientDisconnected

from app import problems
from app.problems import ProblemError
from eventbus.errors import (
    BusClosedError,
    CursorError,
    EventValidationError,
    FieldError,
    LogWriteError,
    ReceiptTimeoutError,
    UnsupportedContentTypeError,
)


def client_of(error: Exception) -> FlaskClient:
    app = Flask(__name__)
    problems.register(app)

    @app.get("/api/thing")
    def thing() -> str:
        raise error

    return app.test_client()


def document(error: Exception) -> dict[str, object]:
    answer = client_of(error).get("/api/thing")
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    return dict(answer.json)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EventValidationError([FieldError("/type", "is required")]), 400),
        (CursorError("'x' is not a cursor"), 400),
        (UnsupportedContentTypeError("must be JSON"), 415),
        (ClientDisconnected(), 408),
        (BusClosedError("closed"), 503),
        (LogWriteError("disk full"), 503),
        (ReceiptTimeoutError("not yet"), 503),
        (ProblemError(409, "Conflict", "already resolved"), 409),
        (KeyError("secret"), 500),
    ],
)
def test_each_kind_of_error_has_its_status(error: Exception, status: int) -> None:
    assert document(error)["status"] == status


def test_each_wrong_field_is_listed_with_its_pointer() -> None:
    error = EventValidationError([FieldError("/2/type", "is bad"), FieldError("/2/data", "is odd")])
    found = document(error)
    assert found["errors"] == [
        {"pointer": "/2/type", "detail": "is bad"},
        {"pointer": "/2/data", "detail": "is odd"},
    ]
    assert "/2/type: is bad (and 1 more)" in str(found["detail"])


def test_an_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = document(KeyError("the-secret"))
    assert "the-secret" not in json.dumps(found)
    assert "the-secret" in str(caplog.records[0].exc_info)


def test_a_full_disk_says_when_to_come_again() -> None:
    answer = client_of(LogWriteError("database or disk is full")).get("/api/thing")
    assert answer.headers["Retry-After"] == "1"
    assert "disk is full" in answer.json["detail"]


def test_unknown_paths_and_methods_are_problems_too() -> None:
    client = client_of(KeyError())
    assert client.get("/api/nothing").json["status"] == 404
    answer = client.delete("/api/thing")
    assert answer.json["status"] == 405
    assert "GET" in answer.headers["Allow"]


def test_details_with_characters_that_utf8_cannot_write_are_still_an_answer() -> None:
    found = document(ProblemError(400, "Wrong", "got '\ud800'"))
    assert found["detail"] == "got '\ud800'"


def test_people_get_a_page_and_programs_a_document() -> None:
    app = Flask(__name__)
    problems.register(app)
    seen = []
    problems_render = problems.render_template
    try:
        problems.render_template = lambda name, **context: seen.append((name, context)) or "<h1>"
        page = app.test_client().get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
        program = app.test_client().get("/nothing", headers={"Accept": "*/*"})
    finally:
        problems.render_template = problems_render
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert seen[0][0] == "error.html"
    assert seen[0][1]["status"] == 404
    assert program.content_type == "application/problem+json"
