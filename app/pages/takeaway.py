"""An event as something to run elsewhere: a curl command, a Python program."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from textwrap import indent
from typing import Any

_OPTIONS = ("source", "subject", "id", "delay", "at")
# Linux takes 128 KiB in one argument; more has to come in on standard input.
_MOST_ARGUMENT_BYTES = 100_000


def as_curl(base: str, event: Mapping[str, Any]) -> str:
    """A shell command that publishes ``event``, in the API's plain form, at ``base``."""
    body = json.dumps(event, ensure_ascii=False)
    head = (
        f"curl -X POST {shlex.quote(base + '/api/events')} \\\n"
        "  -H 'content-type: application/json' \\\n"
    )
    if len(body.encode()) > _MOST_ARGUMENT_BYTES:
        # JSON has no line ends of its own, so no line of it can be the word that ends it.
        return f"{head}  --data-binary @- <<'JSON'\n{body}\nJSON\n"
    return f"{head}  -d {shlex.quote(body)}"


def as_python(base: str, event: Mapping[str, Any]) -> str:
    """A Python program that publishes ``event``, in the API's plain form, at ``base``."""
    data = literal(event.get("data", {}))
    options = [f"{name}={event[name]!r}" for name in _OPTIONS if event.get(name) is not None]
    arguments = ",\n".join([repr(event.get("type", "")), data, *options])
    return (
        "from eventbus import RemoteEventBus\n\n"
        f"with RemoteEventBus({base!r}) as bus:\n"
        f"    receipt = bus.publish(\n{indent(arguments, ' ' * 8)},\n    )\n"
        "    print(receipt.wait())\n"
    )


def literal(value: Any) -> str:
    """A JSON value as a Python literal, laid out as JSON is."""
    if isinstance(value, dict) and value:
        inside = ",\n".join(f"{key!r}: {literal(item)}" for key, item in value.items())
        return f"{{\n{indent(inside, '    ')},\n}}"
    if isinstance(value, list) and value:
        inside = ",\n".join(literal(item) for item in value)
        return f"[\n{indent(inside, '    ')},\n]"
    return repr(value)
