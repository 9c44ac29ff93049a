"""Whatever is sent to the API: a 4xx problem document, nothing recorded, and the server goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.helpers.api import Answer
from tests.helpers.raw import send_raw, status_of
from tests.helpers.server import ServerProcess

JSON = "application/json"
MIB = 1024 * 1024


def event(**members: object) -> bytes:
    return json.dumps({"type": "a.b", "data": {}, **members}).encode()


def with_data(text: str) -> bytes:
    return b'{"type": "a.b", "data": ' + text.encode() + b"}"


# name: (body, status, pointer of the first error)
BODIES: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 400, ""),
    "not JSON": (b"nope", 400, ""),
    "half an object": (b'{"type": "a.b"', 400, ""),
    "two objects": (b"{}{}", 400, ""),
    "a number": (b"42", 400, ""),
    "a text": (b'"a.b"', 400, ""),
    "null": (b"null", 400, ""),
    "not UTF-8": (b'{"type": "a.b", "data": {"x": "\xff"}}', 400, ""),
    "UTF-16": ('{"type": "a.b"}'.encode("utf-16"), 400, ""),
    "no type": (b'{"data": {}}', 400, "/type"),
    "a type that is a number": (event(type=5), 400, "/type"),
    "a type that is null": (event(type=None), 400, "/type"),
    "an empty type": (event(type=""), 400, "/type"),
    "a type of 300 characters": (event(type="a" * 300), 400, "/type"),
    "a type of 17 segments": (event(type=".".join("a" * 17)), 400, "/type"),
    "a wildcard in the type": (event(type="a.*"), 400, "/type"),
    "a hash in the type": (event(type="a.#"), 400, "/type"),
    "an empty segment": (event(type="a..b"), 400, "/type"),
    "a line break after the type": (event(type="a.b\n"), 400, "/type"),
    "a type with a lone surrogate": (b'{"type": "a.\\ud800"}', 400, "/type"),
    "data that is an array": (event(data=[1]), 400, "/data"),
    "data that is a text": (event(data="x"), 400, "/data"),
    "data that is a number": (event(data=7), 400, "/data"),
    "data that is false": (event(data=False), 400, "/data"),
    "NaN": (with_data('{"x": NaN}'), 400, ""),
    "minus infinity": (with_data('{"x": -Infinity}'), 400, ""),
    "a number too large for a float": (with_data('{"x": 1e999}'), 400, "/data/x"),
    "a number of 5000 digits": (with_data('{"x": ' + "9" * 5000 + "}"), 400, ""),
    "10,000 levels of arrays": (b"[" * 10_000 + b"]" * 10_000, 400, ""),
    "10,000 levels in the data": (with_data('{"x": ' + "[" * 10_000 + "]" * 10_000 + "}"), 400, ""),
    "10,000 levels of objects": (with_data('{"x":' * 10_000 + "1" + "}" * 10_000), 400, ""),
    "a lone surrogate in the data": (with_data('{"x": ["\\udc00"]}'), 400, "/data/x/0"),
    "a lone surrogate in a key": (with_data('{"\\ud800": 1}'), 400, "/data"),
    "NUL in the data": (with_data('{"x": "a\\u0000b"}'), 400, "/data/x"),
    "NUL in a key": (with_data('{"\\u0000": 1}'), 400, "/data"),
    "NUL in the subject": (event(subject="a\x00"), 400, "/subject"),
    "an id that is a number": (event(id=1), 400, "/id"),
    "an empty id": (event(id=""), 400, "/id"),
    "an id of 2000 characters": (event(id="x" * 2000), 400, "/id"),
    "a source with a line break": (event(source="/a\n/b"), 400, "/source"),
    "a time that is no time": (event(time="yesterday"), 400, "/time"),
    "a time without a zone": (event(time="2026-01-01T00:00:00"), 400, "/time"),
    "a time in no calendar": (event(time="2026-02-30T00:00:00Z"), 400, "/time"),
    "a wrong traceparent": (event(traceparent="00-x"), 400, "/traceparent"),
    "another specversion": (event(specversion="0.3"), 400, "/specversion"),
    "an unknown attribute": (event(payload={}), 400, "/payload"),
    "data of 300 KiB": (event(data={"x": "y" * 300 * 1024}), 400, "/data"),
    "a body of 1 MB": (event(data={"x": "y" * 1_000_000}), 413, ""),
    "a batch with a wrong one": (b'[{"type": "a.b"}, {"type": "a.*"}]', 400, "/1/type"),
    "a batch with a number": (b'[{"type": "a.b"}, 5]', 400, "/1"),
    "a batch in a batch": (b'[[{"type": "a.b"}]]', 400, "/0"),
    "a batch with one too large": (
        b'[{"type": "a.b"}, ' + event(data={"x": "y" * MIB}) + b"]", 400, "/1/data",
    ),
}  # fmt: skip


@pytest.fixture
def nothing_recorded(shared_server: ServerProcess):
    before = shared_server.api.get("/api/stats").json["sequence"]
    yield
    assert shared_server.api.get("/api/stats").json["sequence"] == before


def problem(answer: Answer) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json
    assert document["status"] == answer.status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_body_is_refused(
    shared_server: ServerProcess, nothing_recorded: None, name: str
) -> None:
    body, status, pointer = BODIES[name]
    answer = shared_server.api.request("POST", "/api/events", body, {"Content-Type": JSON})
    document = problem(answer)
    assert answer.status == status, document
    assert document["errors"][0]["pointer"] == pointer, document
    assert document["errors"][0]["detail"]


def test_a_body_over_the_limit_is_refused(
    shared_server: ServerProcess, nothing_recorded: None
) -> None:
    body = b"[" + b" " * (8 * MIB) + b"]"
    answer = shared_server.api.request("POST", "/api/events", body, {"Content-Type": JSON})
    assert answer.status == 413
    problem(answer)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/cloudevents+xml",
        "/;;;==",
    ],
)
def test_a_wrong_content_type_is_refused(
    shared_server: ServerProcess, nothing_recorded: None, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = shared_server.api.request("POST", "/api/events", event(), headers)
    assert answer.status == 415
    problem(answer)


def test_every_wrong_event_of_a_batch_is_named(
    shared_server: ServerProcess, nothing_recorded: None
) -> None:
    answer = shared_server.api.post("/api/events", [{"type": "*"}, {"type": "a"}, {"data": 1}])
    pointers = [error["pointer"] for error in problem(answer)["errors"]]
    assert pointers == ["/0/type", "/2/type", "/2/data"]


QUERIES = [
    "/api/events?limit=abc",
    "/api/events?limit=0",
    "/api/events?limit=1001",
    "/api/events?limit=%00",
    "/api/events?after=-1",
    "/api/events?after=99999999999999999999",
    "/api/events?before=1.5",
    "/api/events?after=" + "9" * 4500,
    "/api/events?cursor=garbage",
    "/api/events?cursor=%F0%9F%92%A5",
    "/api/events?cursor=bnVsbA",
    "/api/events?type=a..b",
    "/api/events?type=ev*",
    "/api/events?type=%00",
    "/api/events?type=" + "a" * 300,
    "/api/events?since=yesterday",
    "/api/events?until=9999-12-31T23:59:59-23:59",
    "/api/events?order=sideways",
    "/api/events?q=%00",
    "/api/events?subject=a%00b",
    "/api/evaluations?state=gone",
    "/api/evaluations?cursor=garbage",
    "/api/alerts?state=gone",
    "/api/alerts?cursor=garbage",
    "/api/deliveries?state=gone",
    "/api/deliveries?cursor=garbage",
]


@pytest.mark.parametrize("path", QUERIES)
def test_a_wrong_query_is_refused(shared_server: ServerProcess, path: str) -> None:
    answer = shared_server.api.get(path)
    assert answer.status == 400, answer.text
    name = path.partition("?")[2].partition("=")[0]
    assert problem(answer)["errors"][0]["parameter"] == name


@pytest.mark.parametrize("path", ["/api/events?wait=yes", "/api/events?wait=handled&timeout=-1"])
def test_a_wrong_wait_is_refused(
    shared_server: ServerProcess, nothing_recorded: None, path: str
) -> None:
    assert shared_server.api.post(path, {"type": "a.b"}).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api", 404),
        ("GET", "/api/events/no-such-id", 404),
        ("GET", "/api/events/no-such-id/deliveries", 404),
        ("GET", "/api/events/no-such-id/trace", 404),
        ("GET", "/api/events/%00", 404),
        ("GET", "/api/events/%FF%FE", 404),
        ("GET", "/api/events/" + "x" * 3000, 404),
        ("GET", "/api/evaluations/no-such-id", 404),
        ("GET", "/api/evaluations/%00%FF", 404),
        ("GET", "/api/alerts/no-such-id", 404),
        ("GET", "/api/metrics/no-such-name", 404),
        ("POST", "/api/alerts/no-such-id/acknowledge", 404),
        ("POST", "/api/alerts/%FF/resolve", 404),
        ("DELETE", "/api/events", 405),
        ("PUT", "/api/stats", 405),
        ("GET", "/api/alerts/x/acknowledge", 405),
    ],
)
def test_what_is_not_there_is_a_problem_document(
    shared_server: ServerProcess, method: str, path: str, status: int
) -> None:
    answer = shared_server.api.request(method, path)
    assert answer.status == status, answer.text
    problem(answer)


@pytest.mark.parametrize(
    "path",
    ["/api/events?q=%FF%C3", "/api/events?%FF=%FF&subject=%ED%A0%80", "/api/events?a&&=&==="],
)
def test_bytes_in_a_query_that_are_not_utf8_find_nothing_and_break_nothing(
    shared_server: ServerProcess, path: str
) -> None:
    assert shared_server.api.get(path).status in (200, 400)


RAW = {
    "no number as length": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: abc\r\n\r\n{}",
    "a negative length": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: -5\r\n\r\n{}",
    "two lengths": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a wrong chunk": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "an unknown transfer coding": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: magic\r\n\r\n{}",
    "no HTTP at all": b"hello there\r\n\r\n",
    "a header without a colon": b"GET /api/stats HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a NUL in a header": b"GET /api/stats HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
    "a URL of 20,000 characters": b"GET /api/events?q=" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "no Host": b"GET /api/stats HTTP/1.1\r\nConnection: close\r\n\r\n",
    "bytes as Host": b"GET /api/stats HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
    "another Host": b"GET /api/stats HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "bytes in a header": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    "bytes in a CloudEvents header": b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: close\r\nContent-Type: application/json\r\nce-specversion: 1.0\r\nce-id: \xff\r\n"
    b"ce-source: /x\r\nce-type: a.b\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", RAW)
def test_a_broken_request_is_refused(
    shared_server: ServerProcess, nothing_recorded: None, name: str
) -> None:
    response = send_raw(shared_server.port, RAW[name])
    assert 400 <= status_of(response) <= 499 or status_of(response) == 501, response
    assert b"application/problem+json" in response


@pytest.mark.parametrize("path", [b"/\xff\xfe", b"/api/events?q=\xff", b"/api/\x01"])
def test_a_path_of_raw_bytes_is_answered(shared_server: ServerProcess, path: bytes) -> None:
    head = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert 200 <= status_of(send_raw(shared_server.port, b"GET " + path + head)) <= 499


def test_a_request_that_never_comes_to_its_end_frees_its_thread(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(
        EVENTBUS_READ_TIMEOUT_S="1", EVENTBUS_REQUEST_THREADS="4", EVENTBUS_MAX_SOCKETS="1"
    )
    waiting = (
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{"
    )
    for _ in range(3):
        response = send_raw(server.port, waiting, timeout_s=20.0)
        assert status_of(response) == 408
        assert b"application/problem+json" in response
    assert send_raw(server.port, b"GET /api/sta", timeout_s=20.0) == b""
    assert server.api.get("/api/stats").json["sequence"] == 0


def test_nothing_of_all_this_was_an_internal_error(shared_server: ServerProcess) -> None:
    assert "Traceback" not in shared_server.output()
    assert shared_server.api.publish("a.b")["sequence"] >= 1
