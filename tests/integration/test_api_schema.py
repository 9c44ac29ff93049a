"""The API does what its document says: for random requests, and about a server full of things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.fuzz import moments
from tests.fuzz.aftermath import faults_of
from tests.fuzz.http import Tally, storm
from tests.fuzz.sockets import SocketTally
from tests.fuzz.sockets import storm as hostile_frames
from tests.helpers.pages import IMPATIENT, fill
from tests.helpers.server import ServerProcess

# So many right and so many wrong requests of each of some sixty operations.
EXAMPLES = 3


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        fill(server)
        yield server


def test_random_requests_are_answered_as_the_document_says(server: ServerProcess) -> None:
    tally = Tally()
    storm(server.url, EXAMPLES, tally)
    assert tally.failures == [], "\n\n".join(tally.failures)
    assert tally.count > 300
    assert {200, 202, 400, 404} <= tally.statuses.keys()
    assert faults_of(server, tally.acknowledged) == []


def test_random_users_and_tokens_are_answered_as_the_document_says(server: ServerProcess) -> None:
    tally = Tally()
    storm(server.url, 2 * EXAMPLES, tally, is_access=True)
    assert tally.failures == [], "\n\n".join(tally.failures)
    assert {200, 201, 400} <= tally.statuses.keys()
    assert "Traceback" not in server.output()


def test_times_at_the_ends_of_the_calendar_break_no_page(filled: ServerProcess) -> None:
    tally = Tally()
    moments.storm(filled.url, tally, moments.WINDOWED, moments.WORST)
    assert tally.failures == [], "\n".join(tally.failures)
    assert {200, 400} <= tally.statuses.keys()


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same, with no member allowed that is not told of."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    for name, schema in found["components"]["schemas"].items():
        if "properties" in schema and name != "Problem":
            schema["additionalProperties"] = False
    return found


def test_every_answer_of_a_server_full_of_things_has_its_shape_and_no_more(
    filled: ServerProcess,
) -> None:
    api = filled.api
    document = strict(api.get("/openapi.json").json)
    paths = {name: each["get"] for name, each in document["paths"].items() if "get" in each}
    first = {
        "event_id": api.get("/api/events", type="evaluation.exhausted").json["events"][0]["id"],
        "eval_id": "exhausted-1",
        "alert_id": api.get("/api/alerts").json["alerts"][0]["id"],
        "operation_id": 1,
        "name": "loss",
        "type": "evaluation.started",
    }
    checked = []
    for path, operation in paths.items():
        if "101" in operation["responses"] or path == "/openapi.json":
            continue
        is_metric = path.startswith("/api/metrics/")
        if (
            "{name}" in path
            and not is_metric
            or not set(re.findall(r"{(\w+)}", path)) <= first.keys()
        ):
            continue  # of things that this server has none of
        values = {**first, "event_id": "later-1"} if "scheduled" in path else first
        answer = api.get(path.format_map(values))
        assert answer.status == 200, (path, answer.text)
        content = operation["responses"]["200"]["content"]
        assert answer.headers["content-type"].partition(";")[0] in content, path
        if path == "/api/events/export":
            continue
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        errors = [
            f"{list(error.absolute_path)}: {error.message[:300]}"
            for error in Draft202012Validator(schema).iter_errors(answer.json)
        ]
        assert errors == [], path
        checked.append(path)
    assert len(checked) >= 28


def test_hostile_frames_break_nothing_and_leave_no_half_event(server: ServerProcess) -> None:
    tally = SocketTally()
    number = server.api.publish("fuzz.before")
    hostile_frames(server.port, 1_500, tally, 1)
    assert tally.failures == [], "\n".join(tally.failures)
    assert tally.frames >= 1_500
    assert faults_of(server, {(number["id"], number["sequence"]): 1}) == []
