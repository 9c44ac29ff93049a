"""A call of the API as something to run: a curl command, a Python program."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from app.pages import takeaway
from app.pages.takeaway import literal

if TYPE_CHECKING:
    from app.pages.reference import Entry

_JSON = "application/json"
_STREAM = """\
from eventbus import RemoteEventBus

bus = RemoteEventBus({host!r})


@bus.on("evaluation.*", name={name!r})  # pip install '.[remote]'
def handle(event):
    print(event.type, dict(event))
"""


def as_curl(host: str, entry: Entry, operation: Mapping[str, Any]) -> str:
    """A shell command for the operation, with the examples of the document."""
    lines = ["curl"] if entry.method == "GET" else [f"curl -X {entry.method}"]
    lines[0] += f" {shlex.quote(host + address(entry.path, operation))}"
    type, body = example_body(operation)
    if type is not None:
        lines.append(f"-H {shlex.quote(f'Content-Type: {type}')}")
        if isinstance(body, str):
            lines.append(f"--data-binary $'{body!r}'".replace("$''", "$'").replace("''", "'"))
        else:
            lines.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def as_python(host: str, entry: Entry, operation: Mapping[str, Any]) -> str:
    """A Python program for it: with RemoteEventBus where that fits, else the standard library."""
    type, body = example_body(operation)
    if entry.id == "publishEvents":
        return takeaway.as_python(host, body)
    if entry.method == "WS":
        name = "report-writer" if entry.id == "consumeEvents" else None
        return _STREAM.format(host=host, name=name)
    lines = ["import json", "from urllib.request import Request, urlopen", ""]
    arguments = [repr(host + address(entry.path, operation))]
    if type is not None:
        if isinstance(body, str):
            lines.append(f"body = {body!r}")
        else:
            lines.append(f"body = json.dumps({literal(body)})")
        arguments += ["data=body.encode()", f'headers={{"Content-Type": "{type}"}}']
    if entry.method != "GET":
        arguments.append(f'method="{entry.method}"')
    inside = "".join(f"    {argument},\n" for argument in arguments)
    lines.append(f"request = Request(\n{inside})")
    reads = "json.load(answer)"
    if "application/x-ndjson" in operation["responses"].get("200", {}).get("content", {}):
        reads = "answer.read().decode()"
    lines += ["with urlopen(request) as answer:", f"    print({reads})"]
    return "\n".join(lines) + "\n"


def address(path: str, operation: Mapping[str, Any]) -> str:
    """The path with the examples of its variables, and of the first query parameter with one."""
    query: dict[str, Any] = {}
    for parameter in operation.get("parameters", []):
        example = parameter.get("example")
        if parameter["in"] == "path":
            value = str(parameter["name"].upper() if example is None else example)
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif parameter["in"] == "query" and example is not None and not query:
            query[parameter["name"]] = example
    return f"{path}?{urlencode(query, safe='*')}" if query else path


def example_body(operation: Mapping[str, Any]) -> tuple[str | None, Any]:
    """The first content type of the body and its first example; None for no body."""
    for type, content in operation.get("requestBody", {}).get("content", {}).items():
        for example in content.get("examples", {}).values():
            return type, example["value"]
    return None, None
