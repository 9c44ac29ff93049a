"""Declared types over HTTP: from files and by the API, and what publishing makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

INVOICE = {
    "type": "invoice.paid",
    "title": "An invoice was paid",
    "owner": "Billing",
    "schema": {
        "required": ["invoice_id"],
        "properties": {"invoice_id": {"type": "string"}, "cents": {"type": "integer"}},
    },
    "example": {"invoice_id": "i-1", "cents": 1200},
}
STRICT = {"schema": {"required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "invoice.json").write_text(json.dumps(INVOICE))
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, EVENTBUS_SCHEMAS=str(folder)) as server:
        yield server


def put(server: ServerProcess, path: str, value: Any) -> Any:
    return server.api.request(
        "PUT", f"/api/types/{path}", json.dumps(value), {"Content-Type": "application/json"}
    )


def errors(answer: Any) -> dict[str, str]:
    return {each["pointer"]: each["detail"] for each in answer.json["errors"]}


def test_what_breaks_a_schema_is_answered_with_a_pointer_for_each_field(
    server: ServerProcess,
) -> None:
    before = server.api.get("/api/stats").json["sequence"]
    event = {"type": "invoice.paid", "data": {"cents": "many"}}
    answer = server.api.post("/api/events", event)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert errors(answer) == {
        "/data/invoice_id": "is required",
        "/data/cents": "must be a whole number, not 'many'",
    }
    batch = server.api.post("/api/events", [{"type": "a.b"}, event])
    assert batch.status == 400
    assert set(errors(batch)) == {"/1/data/invoice_id", "/1/data/cents"}
    preview = server.api.post("/api/events/preview", event)
    assert (preview.status, set(errors(preview))) == (400, {"/data/invoice_id", "/data/cents"})
    assert server.api.get("/api/stats").json["sequence"] == before
    told = server.api.get("/api/types/invoice.paid").json["violations"]
    assert told["refused"] == 2
    assert told["last"]["errors"][0]["pointer"].startswith("/data/")


def test_a_file_cannot_be_overruled_by_the_api(server: ServerProcess) -> None:
    found = server.api.get("/api/types/invoice.paid").json
    assert found["declaration"]["origin"] == "file"
    assert found["declaration"]["place"] == "invoice.json"
    assert found["declaration"]["read_only"] is True
    assert found["mode"] == "enforce"
    for answer in (
        put(server, "invoice.paid", {}),
        server.api.request("DELETE", "/api/types/invoice.paid"),
    ):
        assert answer.status == 409
        assert "declared in the file invoice.json" in answer.json["detail"]


def test_api_and_page_say_alike_what_is_wrong_with_a_declarations_text(
    server: ServerProcess,
) -> None:
    for text, wrong in (
        ('{\n "title": tru}', "must be JSON: Expecting value at line 2, column 11"),
        ('{"title": "\\ud800"}', "must not contain U+D800"),
        ("[]", "must be a JSON object, not []"),
    ):
        sent = {"Content-Type": "application/json"}
        answer = server.api.request("PUT", "/api/types/odd.text", text.encode(), sent)
        assert answer.status == 400 and answer.json["errors"][0]["detail"] == wrong
        form = urlencode({"type": "odd.text", "declaration": text}).encode()
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        page = server.api.request("POST", "/types/declare", form, sent)
        assert page.status == 422 and wrong in page.text


def test_a_type_is_declared_and_withdrawn_with_who_did_it(server: ServerProcess) -> None:
    first = put(server, "stock.moved", {"title": "Stock", **STRICT, "by": "ann"})
    assert first.status == 201
    assert (first.json["origin"], first.json["place"]) == ("api", "ann")
    assert put(server, "stock.moved", {"title": "Stock moved", **STRICT}).status == 200
    refused = server.api.post("/api/events", {"type": "stock.moved", "data": {"n": 0}})
    assert errors(refused) == {"/data/n": "must be at least 1 (minimum), not 0"}
    assert server.api.post("/api/events", {"type": "stock.moved", "data": {"n": 1}}).status == 202
    gone = server.api.request("DELETE", "/api/types/stock.moved")
    assert (gone.status, gone.json["title"]) == (200, "Stock moved")
    assert server.api.request("DELETE", "/api/types/stock.moved").status == 404
    assert server.api.post("/api/events", {"type": "stock.moved", "data": {"n": 0}}).status == 202
    audit = server.api.get("/api/events", type="bus.type.*", subject="stock.moved").json["events"]
    assert [(each["type"], each["data"]["by"]) for each in audit] == [
        ("bus.type.withdrawn", "api"),
        ("bus.type.declared", "api"),
        ("bus.type.declared", "ann"),
    ]


def test_a_declaration_survives_a_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert put(server, "stock.*", STRICT).status == 201
        server.kill9()
        server.start()
        answer = server.api.post("/api/events", {"type": "stock.moved", "data": {}})
        assert errors(answer) == {"/data/n": "is required"}


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        ("ev*", {}, "/type"),
        ("a..b", {}, "/type"),
        ("a.b", {"type": "a.c"}, "/type"),
        ("a.b", {"colour": "red"}, "/colour"),
        ("a.b", {"title": 3}, "/title"),
        ("a.b", {"owner": "x" * 121}, "/owner"),
        ("a.b", {"mode": "strict"}, "/mode"),
        ("a.b", {"schema": []}, "/schema"),
        ("a.b", {"schema": {"$ref": "http://127.0.0.1:1/"}}, "/schema/$ref"),
        ("a.b", {"schema": {"properties": {"x": {"$ref": "#"}}}}, "/schema"),
        ("a.b", {**STRICT, "example": {"n": 0}}, "/example/n"),
        ("a.b", {"by": ""}, "/by"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_member(
    server: ServerProcess, path: str, value: Any, pointer: str
) -> None:
    answer = put(server, path, value)
    assert answer.status == 400
    assert list(errors(answer)) == [pointer]
    assert server.api.get("/api/types/a.b").status == 404


def test_a_payload_can_be_held_against_its_schema_without_being_published(
    server: ServerProcess,
) -> None:
    check = lambda data: server.api.post("/api/types/invoice.paid/check", {"data": data})  # noqa: E731
    good = check({"invoice_id": "i-2"}).json
    assert good == {"valid": True, "mode": "enforce", "checked": True, "errors": []}
    bad = check({"invoice_id": 7}).json
    assert bad["errors"] == [
        {"pointer": "/data/invoice_id", "detail": "must be text, not 7"},
    ]
    assert check([]).status == 400
    assert server.api.post("/api/types/invoice.*/check", {"data": {}}).status == 400


def test_a_built_in_type_is_reported_and_nothing_is_refused(server: ServerProcess) -> None:
    answer = server.api.post("/api/events", {"type": "evaluation.started", "data": {"total": -3}})
    assert answer.status == 202
    tally = lambda: server.api.get("/api/types/evaluation.started").json["violations"]  # noqa: E731
    wait_until(lambda: tally()["reported"] == 1, "it is counted")
    assert {each["pointer"] for each in tally()["last"]["errors"]} == {
        "/data/eval_id", "/data/total",
    }  # fmt: skip
    assert tally()["last"]["sequence"] == answer.json["sequence"]


def test_the_list_has_declared_types_that_were_never_seen(server: ServerProcess) -> None:
    found = server.api.get("/api/types", q="invoice").json["types"]
    assert found[0]["type"] == "invoice.paid"
    assert (found[0]["count"], found[0]["title"], found[0]["declared"]) == (
        0, "An invoice was paid", "file",
    )  # fmt: skip


def test_of_an_undeclared_type_the_schema_is_read_off_its_payloads(server: ServerProcess) -> None:
    for number in range(3):
        server.api.publish("sensor.read", {"value": number, "unit": "C"}, source=f"/s/{number % 2}")
    found = server.api.get("/api/types/sensor.read").json
    assert found["declaration"] is None
    assert found["inferred"]["required"] == ["value", "unit"]
    assert [each["source"] for each in found["sources"]] == ["/s/0", "/s/1"]
    assert server.api.get("/api/types/sensor.lost").status == 404


def test_an_import_refuses_the_lines_that_break_their_schema(server: ServerProcess) -> None:
    lines = [
        {"type": "invoice.paid", "data": {"invoice_id": "i-8"}},
        {"type": "invoice.paid", "data": {}},
    ]
    body = "\n".join(json.dumps(line) for line in lines)
    answer = server.api.request(
        "POST", "/api/events/import", body, {"Content-Type": "application/x-ndjson"}
    ).json
    assert (answer["recorded"], answer["refused"]) == (1, 1)
    assert answer["errors"] == [{"line": 2, "pointer": "/data/invoice_id", "detail": "is required"}]


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"type": "x.y", "schema": {"type": "strng"}}')
    server = ServerProcess(tmp_path, EVENTBUS_SCHEMAS=str(tmp_path))
    with pytest.raises(AssertionError, match=r"EVENTBUS_SCHEMAS=.* is wrong: x\.json"):
        server.start()
