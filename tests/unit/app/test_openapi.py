"""The document of the API: everything is in it, it is valid, and so is every example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import create_app
from app.config import Settings
from app.openapi.document import document, undeclared


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("app") / "events.db"
    app = create_app(Settings.from_environment({"EVENTBUS_DATABASE_URL": f"sqlite:///{path}"}))
    with app.app_context():
        missing = undeclared(app)
        assert not missing, (
            f"nothing is said about {missing}; put @operation(...) of app/openapi/operation.py "
            "between the route and its view"
        )
        return document(app)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_document_is_openapi_3_1(found: dict[str, Any]) -> None:
    assert found["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(found).iter_errors()] == []


def test_every_operation_has_an_id_of_its_own_words_and_a_known_tag(found: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in found["tags"]}
    ids = [operation["operationId"] for _, operation in operations(found)]
    assert len(ids) == len(set(ids))
    for name, operation in operations(found):
        assert set(operation["tags"]) <= tags, name
        assert 3 < len(operation["summary"]) < 120, name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
    assert tags == {tag for _, operation in operations(found) for tag in operation["tags"]}


def test_every_operation_says_what_an_error_looks_like(found: dict[str, Any]) -> None:
    for name, operation in operations(found):
        answers = operation["responses"]
        assert {"400", "500"} <= answers.keys(), name
        assert any(int(status) < 400 for status in answers), name


def test_every_variable_of_a_path_is_described(found: dict[str, Any]) -> None:
    for name, operation in operations(found):
        path = name.partition(" ")[2]
        variables = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        given = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert given == variables, name


def test_every_example_fits_its_schema(found: dict[str, Any]) -> None:
    checked = 0
    for schema, example in examples(found):
        whole = {**schema, "components": found["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert [error.message for error in validator.iter_errors(example)] == [], example
        checked += 1
    assert checked > 100


def test_examples_do_not_contradict_themselves(found: dict[str, Any]) -> None:
    def of(path: str, method: str, status: str) -> Any:
        return found["paths"][path][method]["responses"][status]["content"]["application/json"][
            "example"
        ]

    token = of("/api/access/tokens", "post", "201")
    assert not token["expired"] and token["expires_at"] > token["created_at"]
    me = of("/api/access/me", "get", "200")
    assert (me["guarded"], me["kind"], me["role"]) == (True, "user", "operator")
    stopped = of("/api/rebuild", "get", "200")["rebuild"]
    assert (stopped["state"], stopped["error"]) == ("done", None)
    assert of("/api/alerts", "get", "200")["alerts"][0]["muted_until"] is None


def test_no_choice_is_named_twice(found: dict[str, Any]) -> None:
    def choices(node: Any) -> Iterator[list[Any]]:
        if isinstance(node, dict) and isinstance(node.get("enum"), list):
            yield node["enum"]
        for each in node.values() if isinstance(node, dict) else node:
            if isinstance(each, dict | list):
                yield from choices(each)

    for each in choices(found):
        assert len(each) == len(set(each)), each


def examples(node: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Whatever has a schema and examples beside it, anywhere in the document."""
    if isinstance(node, list):
        for each in node:
            yield from examples(each)
    elif isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield node["schema"], node["example"]
        if "schema" in node and isinstance(node.get("examples"), dict):
            for each in node["examples"].values():
                yield node["schema"], each["value"]
        if isinstance(node.get("examples"), list):
            for each in node["examples"]:
                yield {key: value for key, value in node.items() if key != "examples"}, each
        for each in node.values():
            yield from examples(each)


def test_no_reference_leads_nowhere(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    for kind in ("schemas", "responses"):
        for name in found["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, f"nothing refers to {name}"
