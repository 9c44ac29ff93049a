"""The few shapes that declarations in code are made of, so that these read like what they say."""

from __future__ import annotations

from typing import Any

from eventbus.catalogue.declaration import Declaration

Schema = dict[str, Any]


def text(description: str, **rules: Any) -> Schema:
    """Text; ``null`` counts as not given."""
    return {"type": ["string", "null"], "description": description, **rules}


def name(description: str, most: int = 1_024) -> Schema:
    """What something is called by: text that is not blank, or a whole number."""
    return {
        "type": ["string", "integer"], "minLength": 1, "maxLength": most, "pattern": r"\S",
        "description": description,
    }  # fmt: skip


def whole(description: str, least: int = 0, most: int | None = None) -> Schema:
    """A whole number; ``null`` counts as not given."""
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": ["integer", "null"], **bounds, "description": description}


def number(description: str, **rules: Any) -> Schema:
    """A number."""
    return {"type": "number", "description": description, **rules}


def moment(description: str) -> Schema:
    """An RFC 3339 date-time."""
    return {"type": "string", "format": "date-time", "description": description}


def flag(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}


def anything(description: str) -> Schema:
    """Any JSON."""
    return {"description": description}


def record(required: str = "", /, **properties: Schema) -> Schema:
    """An object; ``required`` are names separated by blanks. Other fields may stand beside them."""
    found: Schema = {"type": "object", "properties": properties}
    if required:
        found["required"] = required.split()
    return found


BY = anything("who did it")
WHO = {"type": "string", "description": "who did it"}


def declared(
    type: str,
    title: str,
    description: str,
    schema: Schema,
    example: Schema,
    owner: str,
    **more: Any,
) -> Declaration:
    """A declaration in the code."""
    return Declaration.of(
        type, title, description=description, schema=schema, example=example, owner=owner, **more
    )
