"""The OpenAPI 3.1 document of an app, generated from its routes and what is declared at them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from flask import Flask
from werkzeug.routing import Rule

from app.api.content import CLOUD_EVENT, EVENT
from app.openapi.examples import example
from app.openapi.fields import Body, Field
from app.openapi.operation import Media, Operation, declared, summary_of
from app.openapi.schemas import Schemas
from app.openapi.words import ABOUT, HEADERS, STATUSES, TAGS
from app.problems import PROBLEM_CONTENT_TYPE, Problem
from eventbus import __version__

VERSION = "3.1.0"

_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_JSON = "application/json"
_SESSION = (
    "Who signed in on the page. With the port that was asked, `eventbus_session_8000`, and with "
    "`__Host-` before it over TLS."
)
_FORM = "application/x-www-form-urlencoded"
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearerToken": []}, {"session": []}]


def document(app: Flask) -> dict[str, Any]:
    """The document of everything that is declared in ``app``."""
    found = list(_operations(app))
    schemas = Schemas([shape for _, _, each in found for shape in _shapes(each)])
    # RFC 3986: the address that the document came from is the one that it is about.
    spec = APISpec(
        title="Event Bus",
        version=__version__,
        openapi_version=VERSION,
        info={"description": ABOUT},
        servers=[{"url": "/"}],
        tags=[{"name": name, "description": about} for name, about in TAGS.items()],
        security=_SECURITY,
    )
    spec.components.security_scheme(
        "bearerToken",
        {"type": "http", "scheme": "bearer", "description": "A token, for programs."},
    )
    spec.components.security_scheme(
        "session",
        {
            "type": "apiKey",
            "in": "cookie",
            "name": "eventbus_session",
            "description": _SESSION,
        },
    )
    named = {**schemas.components, "NewEvent": EVENT.schema, "NewCloudEvent": CLOUD_EVENT.schema}
    for name in sorted(named):
        spec.components.schema(name, dict(named[name]))
    for status in (400, 401, 403, 408, 413, 414, 415, 421, 426, 429, 500, 503):
        spec.components.response(_problem_name(status), _problem(status, STATUSES[status]))
    for path, method, each in found:
        spec.path(path=path, operations={method: _described(each, schemas, named)})
    result: dict[str, Any] = spec.to_dict()
    return result


def undeclared(app: Flask) -> list[str]:
    """The routes under /api that nothing is said about, which must be none."""
    sockets = {rule.rule for rule in app.url_map.iter_rules() if rule.websocket}
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        and declared(app.view_functions[rule.endpoint]) is None
        and (rule.websocket or rule.rule not in sockets)  # else who answers 426
    ]


def _operations(app: Flask) -> Iterator[tuple[str, str, Operation]]:
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods)))
    for rule in rules:
        said = declared(app.view_functions[rule.endpoint])
        if said is None:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            for path, each in _unfolded(rule, said):
                yield path, method.lower(), each


def _unfolded(rule: Rule, said: Operation) -> Iterator[tuple[str, Operation]]:
    """A variable of the path that is one of a few words is as many paths.

    OpenAPI does not tell ``/alerts/{id}`` from ``/alerts/{action}``.
    """
    path = _VARIABLE.sub(r"{\1}", rule.rule)
    words = next((field for field in said.path if "enum" in field.kind.schema), None)
    if words is None:
        yield path, said
        return
    for word in words.kind.schema["enum"]:
        named = {words.name: word}
        yield (
            path.replace(f"{{{words.name}}}", word),
            replace(
                said,
                id=said.id.format_map(named),
                path=[field for field in said.path if field is not words],
            ),
        )


def _shapes(said: Operation) -> Iterator[Any]:
    for shape in said.answers.values():
        if isinstance(shape, Media):
            yield from (each for each in shape.schemas.values() if each is not None)
        elif shape is not None:
            yield shape


def _described(said: Operation, schemas: Schemas, named: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "operationId": said.id,
        "tags": [said.tag],
        "summary": summary_of(said.id),
        "description": said.description,
        "parameters": [
            *(_parameter(field, "path") for field in said.path),
            *(_parameter(field, "query") for field in said.query),
            *(_parameter(field, "header") for field in said.request_headers),
        ],
        "responses": {
            **{str(status): _answer(said, status, schemas, named) for status in said.answers},
            **_problems(said),
        },
    }
    if said.body is not None:
        result["requestBody"] = _body(said.body)
    return {name: value for name, value in result.items() if value not in ("", [])}


def _parameter(field: Field, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": field.name,
        "in": place,
        "description": field.about,
        "schema": field.parameter_schema(),
    }
    if place == "path" or field.is_needed:
        found["required"] = True
    if field.example is not None:
        found["example"] = field.example
    return found


def _body(body: Body | Media) -> dict[str, Any]:
    if isinstance(body, Media):
        content = {
            name: {"schema": schema, "examples": _named(body.examples.get(name, {}))}
            for name, schema in body.schemas.items()
        }
        return {"description": body.about, "required": True, "content": content}
    schema = body.schema()
    content = {_JSON: {"schema": schema, "examples": _named(body.examples)}}
    if all("string" in _type(each) for each in schema["properties"].values()):
        content[_FORM] = {"schema": schema}
    return {"required": body.is_needed, "content": content}


def _named(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(" ", "-"): {"value": value} for name, value in examples.items()}


def _type(schema: Mapping[str, Any]) -> tuple[str, ...]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _answer(
    said: Operation, status: int, schemas: Schemas, named: Mapping[str, Any]
) -> dict[str, Any]:
    shape = said.answers[status]
    found: dict[str, Any] = {"description": STATUSES[status]}
    if shape is None:
        return found
    media = shape if isinstance(shape, Media) else Media({_JSON: shape})
    found["description"] = media.about or STATUSES[status]
    found["content"] = {
        name: _content(schemas.of(each), named, name) for name, each in media.schemas.items()
    }
    headers = said.headers if status < 300 else {}
    if headers:
        found["headers"] = {
            name: {"description": about, "schema": {"type": "string"}}
            for name, about in headers.items()
        }
    return found


def _content(schema: dict[str, Any], named: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    if schema == {"type": "string"}:
        return {"schema": schema}
    return {"schema": schema, "example": example(schema, named)}


def _problems(said: Operation) -> dict[str, Any]:
    """What any request of this form may be answered, and what this operation says of its own."""
    usual = {400, 401, 403, 414, 421, 429, 500, 503}
    if said.body is not None:
        usual |= {408, 413, 415}
    if said.is_socket:
        usual |= {426}
    found: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{_problem_name(status)}"}
        for status in usual - said.answers.keys()
    }
    if said.path:
        found["404"] = _problem(404, "The path names nothing, or has what no name may have.")
    found |= {str(status): _problem(status, about) for status, about in said.problems.items()}
    return dict(sorted(found.items()))


def _problem_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _problem(status: int, about: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "title": HTTPStatus(status).phrase, "status": status, "detail": about,
    }  # fmt: skip
    if status == 400:
        detail = "must be a whole number from 1 to 1000, not 'many'"
        example = {
            "title": "Wrong parameter", "status": 400, "detail": f"limit: {detail}",
            "errors": [{"pointer": "/limit", "parameter": "limit", "detail": detail}],
        }  # fmt: skip
    content = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}, "example": example}
    found: dict[str, Any] = {"description": about, "content": {PROBLEM_CONTENT_TYPE: content}}
    if status in HEADERS:
        found["headers"] = HEADERS[status]
    return found
