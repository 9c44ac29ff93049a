"""/asyncapi.json: valid by the official schema, and true: what it says is what is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.helpers.server import ServerProcess

OFFICIAL = Path(__file__).parents[1] / "data" / "asyncapi-3.0.0.json"
TREE = {
    "type": "order.placed",
    "title": "An order",
    "owner": "Shop",
    "deprecated": "order.accepted",
    "schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}},
        "$defs": {"line": {"type": "object", "required": ["sku"]}},
    },
    "example": {"lines": [{"sku": "a-1"}]},
}


def never(uri: str) -> Any:
    raise AssertionError(f"{uri} was asked for")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "order.json").write_text(json.dumps(TREE))
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, EVENTBUS_SCHEMAS=str(folder)) as server:
        server.api.publish("sensor.read", {"value": 1.5, "unit": "C"})
        server.api.publish("order.placed", TREE["example"])
        yield server


def test_the_document_keeps_to_the_official_schema(server: ServerProcess) -> None:
    document = server.api.get("/asyncapi.json").json
    official = json.loads(OFFICIAL.read_text())
    validator = jsonschema_rs.Draft7Validator(official, retriever=never)
    found = [
        f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(document)
    ]
    assert found == []
    assert not validator.is_valid({**document, "channels": {"x": {"adress": "/"}}})


def test_every_reference_in_it_leads_somewhere(server: ServerProcess) -> None:
    document = server.api.get("/asyncapi.json").json

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            value = value.values()
        elif not isinstance(value, list):
            return
        for each in value:
            yield from references(each)

    found = set(references(document))
    assert "#/components/messages/order.placed/payload/properties/data/$defs/line" in found
    for reference in found:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]


def test_a_message_says_what_is_declared_or_what_was_seen(server: ServerProcess) -> None:
    messages = server.api.get("/asyncapi.json").json["components"]["messages"]
    declared = messages["order.placed"]
    assert (declared["title"], declared["x-owner"], declared["x-declared"]) == (
        "An order", "Shop", "file",
    )  # fmt: skip
    assert declared["x-deprecated"] == "order.accepted"
    assert declared["examples"][0]["payload"]["data"] == TREE["example"]
    seen = messages["sensor.read"]["payload"]["properties"]["data"]
    assert seen["x-inferred"] is True
    assert seen["properties"] == {"value": {"type": "number"}, "unit": {"type": "string"}}
    assert messages["evaluation.started"]["x-declared"] == "code"
    assert messages["evaluation.exhausted"]["x-seen"] == 0


def test_what_is_recorded_keeps_to_the_message_of_its_type(server: ServerProcess) -> None:
    document = server.api.get("/asyncapi.json").json
    events = server.api.get("/api/events", limit=100).json["events"]
    assert {event["type"] for event in events} >= {"sensor.read", "order.placed"}
    for event in events:
        schema = {"$ref": f"#/components/messages/{event['type']}/payload", **document}
        assert list(jsonschema_rs.Draft7Validator(schema).iter_errors(event)) == []
        for example in document["components"]["messages"][event["type"]].get("examples", []):
            assert list(jsonschema_rs.Draft7Validator(schema).iter_errors(example["payload"])) == []


def test_its_channels_are_the_ways_in_and_out(server: ServerProcess) -> None:
    document = server.api.get("/asyncapi.json").json
    assert {each["address"] for each in document["channels"].values()} == {
        "/api/events", "/api/stream", "/api/subscriptions/{name}/consume",
    }  # fmt: skip
    operations = document["operations"].values()
    assert {(each["action"], each["channel"]["$ref"]) for each in operations} == {
        ("receive", "#/channels/events"),
        ("send", "#/channels/stream"),
        ("send", "#/channels/consume"),
    }
    assert document["servers"]["http"]["host"] == f"127.0.0.1:{server.port}"
