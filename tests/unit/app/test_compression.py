"""What goes out compressed is the same, smaller, and only for those who asked for it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from app import compression

TEXT = "<p>again and again</p>" * 100
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture
def browser(tmp_path: Path) -> FlaskClient:
    (tmp_path / "a.css").write_text("p { color: red }\n" * 100)
    (tmp_path / "a.png").write_bytes(b"\x89PNG" * 1_000)
    app = Flask(__name__, static_folder=str(tmp_path), static_url_path="/static")
    compression.register(app)

    @app.route("/page")
    def page() -> str:
        return TEXT

    @app.route("/small")
    def small() -> str:
        return "<p>once</p>"

    @app.route("/stream")
    def stream() -> Response:
        return Response((TEXT for _ in range(3)), mimetype="text/html")

    return app.test_client()


def test_a_page_is_compressed_for_who_accepts_that(browser: FlaskClient) -> None:
    plain, packed = browser.get("/page"), browser.get("/page", headers=GZIP)
    assert plain.text == TEXT
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data).decode() == TEXT
    assert packed.content_length == len(packed.data) < len(TEXT) / 5
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("refused", ["identity", "gzip;q=0", "br"])
def test_nobody_gets_an_encoding_that_they_refused(browser: FlaskClient, refused: str) -> None:
    answer = browser.get("/page", headers={"Accept-Encoding": refused})
    assert answer.text == TEXT


@pytest.mark.parametrize("path", ["/small", "/stream", "/static/a.png"])
def test_what_gains_nothing_goes_as_it_is(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path, headers=GZIP)
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers
    assert answer.data


def test_a_file_is_compressed_again_when_it_changes_and_not_sent_when_it_did_not(
    browser: FlaskClient, tmp_path: Path
) -> None:
    first = browser.get("/static/a.css", headers=GZIP)
    again = browser.get("/static/a.css", headers=GZIP)
    assert first.data == again.data
    assert gzip.decompress(first.data) == (tmp_path / "a.css").read_bytes()
    known = {**GZIP, "If-None-Match": first.headers["ETag"]}
    assert browser.get("/static/a.css", headers=known).status_code == 304
    (tmp_path / "a.css").write_text("p { color: blue }\n" * 100)
    changed = browser.get("/static/a.css", headers=known)
    assert changed.status_code == 200
    assert gzip.decompress(changed.data) == (tmp_path / "a.css").read_bytes()


def test_a_part_of_a_file_is_of_the_file_itself(browser: FlaskClient, tmp_path: Path) -> None:
    answer = browser.get("/static/a.css", headers={**GZIP, "Range": "bytes=0-9"})
    assert answer.status_code == 206
    assert answer.data == (tmp_path / "a.css").read_bytes()[:10]
