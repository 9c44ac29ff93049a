"""A parameter of a query or a member of a body: declared once, for who reads it and who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.api import parameters
from app.api.parameters import MAX_BODY_BYTES
from app.openapi import kinds
from app.openapi.kinds import Errors, Kind
from app.problems import ProblemError


@dataclass(frozen=True, slots=True)
class Field:
    """A named value; ``about`` says in Markdown what it means, ``example`` is a valid one."""

    name: str
    kind: Kind
    about: str
    default: Any = None
    is_needed: bool = False
    example: Any = None

    def read(self) -> Any:
        """The query parameter of the request; ``default`` when it is missing or empty.

        Raises ProblemError, a 400 with the parameter, the rule and what was given.
        """
        value = parameters.text(self.name)
        if value is None:
            if self.is_needed:
                raise ProblemError.parameter(self.name, f"is required: {self.about}")
            return self.default
        try:
            return self.kind.parse(value)
        except ValueError as error:
            raise ProblemError.parameter(self.name, str(error)) from None

    def member(self, value: Any, pointer: str, errors: Errors) -> Any:
        """The member of an object as it was given; ``default`` for none and null."""
        if value is None:
            if self.is_needed:
                errors.append({"pointer": f"{pointer}/{self.name}", "detail": "is needed"})
            return self.default
        return self.kind.check(value, f"{pointer}/{self.name}", errors)

    def parameter_schema(self) -> dict[str, Any]:
        """The JSON Schema of the parameter."""
        schema = dict(self.kind.schema)
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def member_schema(self) -> dict[str, Any]:
        """The JSON Schema of the member; what is not needed may be null too."""
        schema = {**self.parameter_schema(), "description": self.about}
        if self.example is not None:
            schema["examples"] = [self.example]
        if not self.is_needed and isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        return schema


@dataclass(frozen=True, slots=True)
class Body:
    """A small JSON object; ``examples`` are whole valid ones by a name.

    ``is_needed`` is whether there must be one at all, ``rule`` a further JSON Schema that the
    object has to fit, beside its fields.
    """

    fields: Sequence[Field]
    examples: Mapping[str, Mapping[str, Any]]
    most_bytes: int = MAX_BODY_BYTES
    is_needed: bool = False
    rule: Mapping[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """The request's body, checked: a dict that has every field.

        Raises ProblemError, a 400 that names every wrong member.
        """
        errors: Errors = []
        value: dict[str, Any] = kinds.members(self.fields).check(
            parameters.body_object(self.most_bytes), "", errors
        )
        if errors:
            raise wrong_body(errors)
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the object."""
        return {**kinds.members(self.fields).schema, **(self.rule or {})}


def wrong_body(errors: Sequence[Mapping[str, str]]) -> ProblemError:
    """A 400 about members of a body."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    place = first["pointer"] or "the body"
    return ProblemError(
        400, "Wrong body", f"{place}: {first['detail']}{more}; nothing was done", errors
    )
