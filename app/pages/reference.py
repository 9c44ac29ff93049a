"""The page of the API: every operation of the document, to read, to copy and to try."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request
from markupsafe import Markup, escape

from app.api.openapi import described
from app.openapi.words import TAGS
from app.pages.frame import render
from app.pages.reference_code import as_curl, as_python
from app.pages.schema_tree import Branch, schema_tree
from app.problems import ProblemError

_HUES = {"GET": "blue", "POST": "green", "DELETE": "red", "WS": "orchid"}
_REFERENCE = "#/components/responses/"

blueprint = Blueprint("reference_page", __name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation in the list of all."""

    id: str
    tag: str
    method: str
    hue: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class Content:
    """A body of one content type."""

    type: str
    tree: Branch
    examples: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back with a status."""

    status: str
    about: str
    headers: Mapping[str, Any]
    contents: Sequence[Content]


@blueprint.get("/docs/api")
def reference() -> str:
    """What holds for all of it, and the list."""
    found = described().document
    return render(
        "reference.html", "reference", groups=_groups(found), current=None,
        about=words(found["info"]["description"]), host=request.host_url.rstrip("/"),
        version=found["info"]["version"],
    )  # fmt: skip


@blueprint.get("/docs/api/<id>")
def one(id: str) -> str:
    """One operation by its ``operationId``."""
    found = described().document
    for entry, operation in _all(found):
        if entry.id == id:
            return _page(found, entry, operation)
    raise ProblemError(404, "No such operation", f"the API has no operation {id[:80]!r}")


def _page(document: Mapping[str, Any], entry: Entry, operation: Mapping[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    host = request.host_url.rstrip("/")
    answers = [_answer(status, each, document) for status, each in operation["responses"].items()]
    body = operation.get("requestBody", {})
    return render(
        "reference.html", "reference", groups=_groups(document), current=entry, host=host,
        description=words(operation.get("description", "")),
        parameters=[
            (each, schema_tree(each["schema"], schemas), words(each["description"], is_line=True))
            for each in operation.get("parameters", [])
        ],
        body=body, bodies=_contents(body.get("content", {}), schemas),
        answers=[each for each in answers if int(each.status) < 400],
        problems=[each for each in answers if int(each.status) >= 400],
        curl=None if entry.method == "WS" else as_curl(host, entry, operation),
        python=as_python(host, entry, operation),
    )  # fmt: skip


def _groups(document: Mapping[str, Any]) -> Mapping[str, Sequence[Entry]]:
    groups: dict[str, list[Entry]] = {tag: [] for tag in TAGS}
    for entry, _ in _all(document):
        groups.setdefault(entry.tag, []).append(entry)
    return groups


def _all(document: Mapping[str, Any]) -> Iterator[tuple[Entry, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for name, operation in methods.items():
            method = "WS" if "101" in operation["responses"] else name.upper()
            yield Entry(
                operation["operationId"], operation["tags"][0], method, _HUES.get(method, "grey"),
                path, operation["summary"],
            ), operation  # fmt: skip


def _answer(status: str, answer: Mapping[str, Any], document: Mapping[str, Any]) -> Answer:
    components = document["components"]
    if "$ref" in answer:
        answer = components["responses"][answer["$ref"].removeprefix(_REFERENCE)]
    contents = _contents(answer.get("content", {}), components["schemas"])
    return Answer(status, answer["description"], answer.get("headers", {}), contents)


def _contents(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Content]:
    found = []
    for type, each in content.items():
        examples = {name: given["value"] for name, given in each.get("examples", {}).items()}
        if "example" in each:
            examples["example"] = each["example"]
        found.append(Content(type, schema_tree(each["schema"], schemas), examples))
    return found


def line(text: str) -> Markup:
    """``words`` without paragraphs."""
    return words(text, is_line=True)


def words(text: str, *, is_line: bool = False) -> Markup:
    """The little Markdown that the document has: paragraphs, `code`, **bold**; safe to show."""
    shown = str(escape(text))
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", shown)
    shown = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", shown)
    if is_line:
        return Markup(shown)
    parts = [part for part in shown.split("\n\n") if part.strip()]
    return Markup("".join(f"<p>{part}</p>" for part in parts))
