"""Taking the history away as a file and bringing it back, over HTTP."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.api import Answer, Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

TOKEN = "0123456789abcdef" * 2
COUNT = 700


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A log of 700 events: every seventh one refunded."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        server.api.post("/api/events", [
            {"type": "shop.refunded" if n % 7 == 0 else "shop.paid", "id": f"shop-{n}",
             "source": "/shop", "data": {"n": n, "note": "über\n\"all\""}, "subject": "=1+1"}
            for n in range(COUNT)
        ])  # fmt: skip
        yield server


@pytest.fixture
def api(server: ServerProcess) -> Api:
    return server.api


def load(api: Api, body: bytes | str, query: str = "") -> Answer:
    headers = {"content-type": "application/x-ndjson"}
    return api.request("POST", f"/api/events/import{query}", body, headers)


def test_ndjson_has_all_that_match_and_oldest_first(api: Api) -> None:
    answer = api.get("/api/events/export", type="shop.refunded")
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["data"]["n"] for event in events] == list(range(0, COUNT, 7))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"].startswith('attachment; filename="events-')
    assert events[0] == api.get("/api/events/shop-0").json
    words = api.get("/api/events/export", q="über", order="desc", after=1, before=COUNT)
    assert json.loads(words.text.splitlines()[0])["data"]["n"] == COUNT - 2


def test_csv_is_no_formula_to_a_spreadsheet(api: Api) -> None:
    answer = api.get("/api/events/export", type="shop.refunded", format="csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [json.loads(row["data"])["n"] for row in rows] == list(range(0, COUNT, 7))
    assert {row["subject"] for row in rows} == {"'=1+1"}


def test_a_wrong_filter_is_said_before_the_file_begins(api: Api) -> None:
    for query in ({"format": "xml"}, {"q": '"open'}, {"type": "ev*"}, {"token": "x"}):
        answer = api.get("/api/events/export", **query)
        assert answer.status == 400
        assert answer.json["errors"][0]["parameter"] == next(iter(query))


def test_a_download_that_is_broken_off_gives_its_place_free(server: ServerProcess) -> None:

    def begins() -> bool:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET /api/events/export HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return sock.recv(20).startswith(b"HTTP/1.1 200")

    for _ in range(6):  # more than may run at once
        wait_until(begins, "those before have given theirs free")
    wait_until(
        lambda: server.new_api().get("/api/events/export", type="none").status == 200,
        "the places are free",
    )


def test_an_export_is_imported_elsewhere_once(api: Api, tmp_path: Path) -> None:
    file = api.get("/api/events/export", type="shop.*").body
    with ServerProcess(tmp_path) as other:
        first = load(other.api, file, "?by=Ada&name=shop.ndjson").json
        assert (first["recorded"], first["duplicates"], first["refused"]) == (COUNT, 0, 0)
        again = load(other.api, file).json
        assert (again["recorded"], again["duplicates"], again["refused"]) == (0, COUNT, 0)
        there = other.api.get("/api/events/shop-5").json
        here = api.get("/api/events/shop-5").json
        assert {**there, "sequence": 0} == {**here, "sequence": 0}
        told = other.api.get("/api/events", type="bus.events.imported", order="asc").json["events"]
        assert [event["data"]["by"] for event in told] == ["Ada", "somebody"]
        assert told[0]["data"]["name"] == "shop.ndjson"
        assert told[0]["data"]["recorded"] == COUNT


def test_what_is_wrong_is_said_by_its_line_and_the_rest_is_recorded(api: Api) -> None:
    lines = [
        b'{"type": "import.good", "id": "good-1"}',
        b'{"type": "import.*"}',
        b"",
        b"not JSON",
        b'[{"type": "import.good"}]',
        b'{"type": "import.good", "dataremoved": true}',
        b"\xff\xfe",
        b'{"type": "import.long", "data": {"text": "' + b"x" * 600_000 + b'"}}',
        b'{"type": "import.good", "id": "good-1"}',
        b'{"type": "import.good", "id": "good-2"}',
    ]
    answer = load(api, b"\r\n".join(lines)).json
    assert (answer["lines"], answer["recorded"]) == (9, 2)
    assert (answer["duplicates"], answer["refused"]) == (1, 6)
    assert [error["line"] for error in answer["errors"]] == [2, 4, 5, 6, 7, 8]
    assert answer["errors"][0]["pointer"] == "/type"
    assert "wildcard" in answer["errors"][0]["detail"]
    assert api.get("/api/events/good-2").json["sequence"] == answer["last_sequence"]


def test_errors_are_counted_beyond_those_that_are_told(api: Api) -> None:
    answer = load(api, "nonsense\n" * 250).json
    assert (answer["refused"], len(answer["errors"])) == (250, 100)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {"content-type": "application/x-ndjson"}, 200),
        (b"{}", {"content-type": "application/xml"}, 415),
        (b"", {"content-type": "text/plain", "content-length": str(2**40)}, 413),
    ],
)
def test_bodies_that_are_no_lines(
    server: ServerProcess, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert server.new_api().request("POST", "/api/events/import", body, headers).status == status


def test_the_progress_of_a_token_can_be_asked_for(api: Api) -> None:
    assert "Waiting" in api.get(f"/events/transfers/{TOKEN}").text
    api.get("/api/events/export", type="shop.paid", token=TOKEN)
    page = api.get(f"/events/transfers/{TOKEN}").text
    assert 'data-state="finished"' in page
    assert "600 events" in page
    assert api.request("POST", "/events/transfers/none/stop").status == 404
