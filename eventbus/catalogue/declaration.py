"""A declaration: what somebody says about an event type, or about all types of a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

from eventbus.errors import DeclarationError, FieldError, PatternError
from eventbus.patterns import Pattern
from eventbus.timestamps import format_time
from eventbus.validation import shown

Mode = Literal["enforce", "report", "off"]
"""What becomes of an event that its schema does not allow: refused, counted, not looked at."""
Origin = Literal["code", "file", "api"]
MODES: tuple[Mode, ...] = get_args(Mode)

MAX_TEXT_CHARS = 4_000
_LIMITS = {"title": 120, "description": MAX_TEXT_CHARS, "owner": 120, "since": 120}
_MEMBERS = (
    "type", "title", "description", "owner", "schema", "example", "since", "deprecated", "mode",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Declaration:
    """``schema`` is a JSON Schema (2020-12) of the payload, ``example`` a payload.

    ``deprecated`` says what to use instead, "" when the type is not. ``mode`` is None where the
    default holds: "report" for what the code declares, else "enforce". ``place`` is the file that
    it is from, or who declared it, at the aware time ``at``.
    """

    pattern: Pattern
    title: str = ""
    description: str = ""
    owner: str = ""
    schema: Mapping[str, Any] | None = None
    example: Mapping[str, Any] | None = None
    since: str = ""
    deprecated: str = ""
    mode: Mode | None = None
    origin: Origin = "code"
    place: str = ""
    at: datetime | None = None

    @property
    def type(self) -> str:
        """The type, or the pattern of several."""
        return self.pattern.text

    @property
    def is_read_only(self) -> bool:
        """Whether it can only be changed where it is from, not by the API."""
        return self.origin == "file"

    @property
    def default_mode(self) -> Mode:
        """The mode when no rule says another one."""
        return self.mode or ("report" if self.origin == "code" else "enforce")

    @classmethod
    def of(cls, type: str, title: str, **more: Any) -> Declaration:
        """One in the code, unchecked."""
        return cls(Pattern(type), title, **more)

    @classmethod
    def read(
        cls,
        value: Any,
        *,
        type: str | None = None,
        origin: Origin = "api",
        place: str = "",
        at: datetime | None = None,
    ) -> Declaration:
        """A declaration from a JSON object; ``type`` is what it must be about.

        The schema itself is not looked at. Raises DeclarationError, which names every wrong member.
        """
        if not isinstance(value, Mapping):
            raise DeclarationError([
                FieldError("", f"a declaration must be a JSON object, not {shown(value)}")
            ])  # fmt: skip
        errors = [
            FieldError(
                f"/{str(name)[:100]}",
                f"is not a member of a declaration; allowed are {', '.join(_MEMBERS)}",
            )
            for name in list(value)[:100]
            if name not in _MEMBERS
        ]
        pattern = _pattern(value.get("type", type), errors)
        if type is not None and "type" in value and value["type"] != type:
            errors.append(FieldError("/type", f"must be {type!r}, not {shown(value['type'])}"))
        texts = {name: _text(value, name, limit, errors) for name, limit in _LIMITS.items()}
        schema = _object(value, "schema", errors)
        example = _object(value, "example", errors)
        mode = value.get("mode")
        if mode is not None and mode not in MODES:
            errors.append(
                FieldError("/mode", f"must be one of {', '.join(MODES)}, not {shown(mode)}")
            )
        deprecated = _deprecated(value.get("deprecated"), errors)
        if errors:
            raise DeclarationError(errors)
        return cls(
            pattern, schema=schema, example=example, deprecated=deprecated, mode=mode,
            origin=origin, place=place, at=at, **texts,
        )  # fmt: skip

    def evolve(self, **changes: Any) -> Declaration:
        """A copy with some of it changed, unchecked."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``read`` reads, without what is empty."""
        values: dict[str, Any] = {
            "type": self.type, "title": self.title, "description": self.description,
            "owner": self.owner, "since": self.since, "deprecated": self.deprecated,
            "mode": self.mode,
        }  # fmt: skip
        found = {name: value for name, value in values.items() if value}
        for name in ("schema", "example"):
            if (value := getattr(self, name)) is not None:
                found[name] = dict(value)
        return found

    def describe(self) -> dict[str, Any]:
        """The same with where it is from."""
        at = None if self.at is None else format_time(self.at)
        more = {
            "origin": self.origin, "place": self.place or None, "at": at,
            "read_only": self.is_read_only,
        }  # fmt: skip
        return {**self.to_dict(), **more}


_ANY = Pattern("#")


def _pattern(text: Any, errors: list[FieldError]) -> Pattern:
    if not isinstance(text, str):
        detail = "is required: an event type, or a pattern of types"
        errors.append(FieldError("/type", detail if text is None else f"must be text: {detail}"))
        return _ANY
    try:
        return Pattern(text)
    except PatternError as error:
        errors.append(FieldError("/type", str(error)))
        return _ANY


def _text(value: Mapping[str, Any], name: str, limit: int, errors: list[FieldError]) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        errors.append(FieldError(f"/{name}", f"must be text, not {shown(text)}"))
    elif len(text) > limit:
        errors.append(FieldError(
            f"/{name}", f"must have at most {limit} characters, not {len(text)}"
        ))  # fmt: skip
    elif any((c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" for c in text):
        errors.append(FieldError(
            f"/{name}", "must not contain control characters or lone surrogates"
        ))  # fmt: skip
    else:
        return text.strip()
    return ""


def _object(
    value: Mapping[str, Any], name: str, errors: list[FieldError]
) -> Mapping[str, Any] | None:
    found = value.get(name)
    if found is None or isinstance(found, Mapping):
        return found
    errors.append(FieldError(f"/{name}", f"must be a JSON object, not {shown(found)}"))
    return None


def _deprecated(value: Any, errors: list[FieldError]) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return _text({"deprecated": value}, "deprecated", 400, errors)
