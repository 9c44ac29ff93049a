"""A value in a masked field comes out nowhere for who may not see it: every endpoint is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from werkzeug.routing import Rule

from app import create_app
from app.access.needs import need_of
from app.config import Settings
from tests.helpers.canary import CANARY, SHOWN, SOCKETS, fill, paths, send, sequence
from tests.helpers.people import Visitor, add_first, add_user, make_token, signed_in
from tests.helpers.raw_websocket import RawWebSocket
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

MASK = (
    "vendor.*: /customer/email, /prompt, /turns/*/text; evaluation.*: /messages; "
    "monitoring.*: /host; access.*: /from, /by"
)
RULES: list[Rule] = list(create_app(Settings()).url_map.iter_rules())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("server")
    variables = {"EVENTBUS_MASK": MASK, "EVENTBUS_BACKOFF_FIRST_S": "300"}
    with ServerProcess(directory, "tests.helpers.masked:app", **variables) as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> Visitor:
    add_first(server)
    admin = signed_in(server)
    for role in ("viewer", "operator"):
        add_user(server, admin, role, role)
    return signed_in(server, "operator")


@pytest.fixture(scope="module")
def admin(server: ServerProcess, operator: Visitor) -> Visitor:
    return signed_in(server)


@pytest.fixture(scope="module")
def viewers(server: ServerProcess, admin: Visitor) -> list[Visitor]:
    """A person, and programs without the right to whole payloads."""
    reader = make_token(admin, "reader", "viewer")
    producer = make_token(admin, "producer", "read", "publish")
    return [signed_in(server, "viewer"), Visitor(server, reader), Visitor(server, producer)]


def asked(visitor: Visitor, operator: Visitor) -> Iterator[tuple[str, str, int, str]]:
    """Every path with its endpoint, and the answer's status and text with its headers."""
    for endpoint, wanted in paths(operator).items():
        for path in wanted:
            answer = visitor.get(path)
            yield endpoint, path, answer.status, f"{answer.headers}\n{answer.text}"


def test_every_endpoint_is_asked(operator: Visitor) -> None:
    endpoints = {rule.endpoint for rule in RULES if "GET" in (rule.methods or ())}
    assert endpoints == set(paths(operator)) | SOCKETS, "say in paths() what to ask of it"


def test_an_operator_sees_it(operator: Visitor) -> None:
    found = {where for where, _, _, text in asked(operator, operator) if CANARY in text}
    assert found >= SHOWN, SHOWN - found
    panel = operator.get("/").text.partition("Retrying")[2]
    assert "ValueError" in panel


@pytest.mark.parametrize("which", [0, 1, 2], ids=["a session", "a token", "a producer's token"])
def test_who_may_not_see_it_does_so_nowhere(
    operator: Visitor, viewers: list[Visitor], which: int
) -> None:
    visitor = viewers[which]
    answered = 0
    for endpoint, path, status, text in asked(visitor, operator):
        # What was asked comes back in links; no path here has the whole canary.
        assert CANARY not in text, path
        assert status < 500, (path, status)
        if endpoint in SHOWN and need_of(endpoint) == "read":
            assert status == 200, (path, status)
            answered += 1
    assert answered > 60
    assert "•••" in visitor.get("/api/events/refused-1").text


@pytest.mark.parametrize(
    "path",
    ["/api/events?q={}", "/api/events/export?q={}", "/api/events?q={}&type=vendor.*"],
)
def test_searching_text_is_refused_since_it_would_tell(
    viewers: list[Visitor], operator: Visitor, path: str
) -> None:
    assert operator.get(path.format(CANARY)).status == 200
    answer = viewers[1].get(path.format(CANARY))
    assert answer.status == 403 and "would tell" in answer.json["detail"]
    assert answer.json["errors"][0]["parameter"] == "q"
    page = viewers[0].get(f"/events?q={CANARY}x")
    assert page.status == 403 and "would tell" in page.text and 'id="e1"' not in page.text
    assert "disabled" in viewers[0].get("/events").text


def test_viewers_see_what_the_audit_trail_tells_of_logins_but_for_what_is_masked(
    viewers: list[Visitor], operator: Visitor
) -> None:
    path = "/api/events?type=access.*&limit=100"
    whole = {event["id"]: event["data"] for event in operator.get(path).json["events"]}
    seen = {event["id"]: event["data"] for event in viewers[0].get(path).json["events"]}
    assert whole.keys() == seen.keys()
    logins = [id for id, data in whole.items() if data.get("from") == "127.0.0.1"]
    assert logins
    for id in logins:
        assert seen[id]["from"] == "•••" and seen[id].get("user") == whole[id].get("user")


def test_what_a_viewer_sees_has_another_entity_tag(
    viewers: list[Visitor], operator: Visitor
) -> None:
    whole = operator.get("/api/events/refused-1")
    masked = viewers[1].get("/api/events/refused-1")
    assert whole.headers["etag"] != masked.headers["etag"]
    again = viewers[1].get("/api/events/refused-1", If_None_Match=whole.headers["etag"])
    assert again.status == 200 and CANARY not in again.text
    assert masked.json["data"] == {"customer": {"email": "•••", "name": "Ann"}, "rows": [1]}


def test_of_what_handlers_raised_a_viewer_is_told_the_class(
    viewers: list[Visitor], operator: Visitor
) -> None:
    def attempt(visitor: Visitor) -> dict[str, object]:
        found = visitor.get("/api/events/refused-1/deliveries").json["deliveries"][0]
        tried: dict[str, object] = found["attempts"][-1]
        return {**tried, "of_delivery": found["error_message"]}

    assert CANARY in str(attempt(operator)["traceback"])
    seen = attempt(viewers[1])
    assert seen["error_class"] == "RejectError"
    assert seen["error_message"] is seen["traceback"] is seen["of_delivery"] is None


@pytest.mark.parametrize("path", ["/live?type=vendor.*", "/api/stream?type=vendor.*"])
def test_sockets_show_it_to_operators_alone_from_the_log_and_live(
    server: ServerProcess, viewers: list[Visitor], operator: Visitor, path: str
) -> None:
    def opened(visitor: Visitor) -> RawWebSocket:
        headers = visitor.headers({"Origin": server.url})
        return RawWebSocket(server.port, f"{path}&after=0", headers=headers)

    last = sequence(operator, "%23")
    with opened(operator) as whole, opened(viewers[0]) as masked, opened(viewers[1]) as other:
        for number, socket in enumerate((whole, masked, other)):
            old = heard(socket, lambda frame: frame.get("sequence", 0) >= last)
            assert (CANARY in old) == (number == 0), path
        sent = signed_in(server).post(
            "/api/events", {"type": "vendor.new", "data": {"prompt": CANARY}}
        )
        new = sent.json["sequence"]
        for number, socket in enumerate((whole, masked, other)):
            text = heard(socket, lambda frame: frame.get("sequence", 0) >= new)
            assert (CANARY in text) == (number == 0), path


def test_the_panels_of_the_live_page_name_the_class_of_an_error_alone(
    server: ServerProcess, viewers: list[Visitor], operator: Visitor
) -> None:
    headers = viewers[0].headers({"Origin": server.url})
    with RawWebSocket(server.port, "/live", headers=headers) as socket:
        panels = heard(socket, lambda frame: frame["kind"] == "panels")  # type: ignore[comparison-overlap]
    assert "ValueError" in panels and CANARY not in panels


def heard(socket: RawWebSocket, is_last: Callable[[dict[str, int]], bool]) -> str:
    """All frames up to one, and the panels that come until then."""
    text = ""
    while True:
        frame = socket.receive()
        assert frame is not None, "the socket ended"
        text += json.dumps(frame)
        if frame.get("kind") != "hello" and is_last(frame):
            return text


def test_a_socket_ends_when_its_owner_may_see_less(
    server: ServerProcess, operator: Visitor
) -> None:
    admin = signed_in(server)
    add_user(server, admin, "tmp", "operator")
    somebody = signed_in(server, "tmp")
    headers = somebody.headers({"Origin": server.url})
    with RawWebSocket(server.port, "/api/stream", headers=headers) as socket:
        assert socket.receive() is not None
        assert admin.post("/api/access/users/tmp/role", {"role": "viewer"}).status == 200
        while socket.receive() is not None:
            pass
        assert socket.close_code == 1008


def test_who_publishes_and_may_not_see_is_not_told_by_answers(
    server: ServerProcess, viewers: list[Visitor], operator: Visitor
) -> None:
    producer = viewers[2]
    again = producer.post("/api/events?wait=handled", {"type": "vendor.refused", "id": "refused-1"})
    assert again.status == 200 and again.json["duplicate"] and CANARY not in again.text
    foreseen = producer.post(
        "/api/events/preview", {"type": "vendor.chain", "data": {"prompt": "x"}}
    )
    assert foreseen.status == 200 and CANARY not in foreseen.text
    # Commits that such a request leads write what everybody has to write, whole.
    event = {"type": "vendor.chain", "id": "chain-2", "data": {"prompt": f"{CANARY}-2"}}
    sent = producer.post("/api/events?wait=handled", event)
    assert sent.status == 202
    wait_until(
        lambda: f"{CANARY}-2" in operator.get("/api/events?type=vendor.chained").text,
        "the handler got the whole payload",
    )


def test_a_token_may_have_the_right_alone(server: ServerProcess, operator: Visitor) -> None:
    admin = signed_in(server)
    program = Visitor(server, make_token(admin, "auditor", "read", "payloads"))
    assert CANARY in program.get("/api/events/refused-1").text
    assert program.get("/api/events?q=" + quote(CANARY)).status == 200


def test_below_admin_operators_see_masks_and_cannot_consume(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(EVENTBUS_MASK="vendor.*: /prompt", EVENTBUS_MASK_BELOW="admin")
    send(server, "vendor.x", {"prompt": CANARY}, id="x-1")
    assert CANARY in server.new_api().get("/api/events/x-1").text  # nobody has to sign in yet
    assert "EVENTBUS_MASK hides nothing yet" in server.output()
    add_first(server)
    admin = signed_in(server)
    add_user(server, admin, "op", "operator")
    operator = signed_in(server, "op")
    assert CANARY in admin.get("/api/events/x-1").text
    assert CANARY not in operator.get("/api/events/x-1").text
    answer = operator.get("/api/subscriptions/spy/consume?type=%23", Accept="application/json")
    assert answer.status == 403 and "sees all of them" in answer.json["detail"]
