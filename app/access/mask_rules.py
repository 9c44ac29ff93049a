"""What EVENTBUS_MASK says: types, the fields of them that are hidden, and which cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from eventbus.errors import PatternError
from eventbus.patterns import Pattern

Tokens = tuple[str, ...]
"""A JSON Pointer (RFC 6901 §3) taken apart; ``*`` is every member or element."""
KEPT = frozenset({"eval_id", "task_id"})
"""What the subject of an event is made of when its publisher chose none."""
_MOST_RULES, _MOST_POINTERS, _MOST_CHARS = 100, 100, 1_000
_ESCAPE = re.compile(r"~(?![01])")


class MaskError(ValueError):
    """A rule that cannot be used, in words that name it and say why."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Fields of the types that match; ``text`` as it was written."""

    pattern: Pattern
    pointers: tuple[Tokens, ...]
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def read_all(cls, text: str) -> tuple[MaskRule, ...]:
        """The rules of a setting, separated by semicolons. Raises MaskError."""
        rules = tuple(cls.read(part.strip()) for part in text.split(";") if part.strip())
        if len(rules) > _MOST_RULES:
            raise MaskError(f"there are {len(rules)} rules, at most {_MOST_RULES} are allowed")
        return rules

    @classmethod
    def read(cls, text: str) -> MaskRule:
        """One rule, ``pattern: /pointer, /pointer``. Raises MaskError."""
        types, colon, fields = text.partition(":")
        if not colon or not fields.strip():
            raise MaskError(f"{text!r} has no fields: write a pattern, a colon and JSON Pointers")
        try:
            pattern = Pattern(types.strip())
        except PatternError as error:
            raise MaskError(f"{text!r}: {error}") from None
        pointers = tuple(_tokens(each.strip()) for each in fields.split(","))
        if len(pointers) > _MOST_POINTERS:
            raise MaskError(f"{types.strip()!r} has more than {_MOST_POINTERS} fields")
        for tokens in pointers:
            _check_free(pattern, tokens)
        return cls(pattern, pointers, text)


def kept_fields(type: str) -> frozenset[str]:
    """The fields of a type that ``*`` leaves as they are, since handlers show them elsewhere."""
    return frozenset().union(
        *(fields for pattern, fields in _read_by_handlers() if pattern.matches(type))
    )


def _tokens(text: str) -> Tokens:
    if not text.startswith("/"):
        raise MaskError(f"{text!r} is not a JSON Pointer: it begins with a slash, like /customer")
    if text == "/":
        raise MaskError("'/' is the member without a name; all members are /*")
    if len(text) > _MOST_CHARS:
        raise MaskError(f"a JSON Pointer has more than {_MOST_CHARS} characters: {text[:80]!r}")
    if _ESCAPE.search(text):
        raise MaskError(f"{text!r} has a ~ that is neither ~0 (for ~) nor ~1 (for /)")
    return tuple(
        token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]
    )  # RFC 6901 §4


def _check_free(pattern: Pattern, tokens: Tokens) -> None:
    """Refuse a field that is shown in other places than payloads, where nobody could hide it."""
    name = tokens[0]
    if name in KEPT:
        raise MaskError(f"{pattern}: /{name} cannot be hidden: the subject of events is made of it")
    for read, fields in _read_by_handlers():
        if name in fields and _overlap(pattern, read):
            raise MaskError(
                f"{pattern}: /{name} cannot be hidden: the built-in handlers read it of {read}, "
                "and show it in lists, counters and alerts; write a pattern that does not match "
                f"{read}"
            )


@cache
def _read_by_handlers() -> tuple[tuple[Pattern, frozenset[str]], ...]:
    """Types with the fields that the built-in handlers read and pass on, by their declarations.

    A handler passes on what it read under the names that all declarations beside it have.
    """
    from handlers.installation import KINDS
    from handlers.types import TYPES

    found = [(declared.pattern, _fields([declared])) for declared in TYPES]
    for kind in KINDS:
        beside = import_module(f"{kind.__module__.rpartition('.')[0]}.types").TYPES
        found.append((Pattern(kind.pattern), _fields(beside)))
    return tuple(found)


def _fields(declared: Iterable[Any]) -> frozenset[str]:
    schemas: list[Mapping[str, Any]] = [each.schema or {} for each in declared]
    return frozenset(name for schema in schemas for name in schema.get("properties", {}))


def _overlap(one: Pattern, other: Pattern) -> bool:
    """Whether a type can match both."""

    @cache
    def meet(i: int, j: int) -> bool:
        left, right = one.tokens[i:], other.tokens[j:]
        if not left or not right:
            return set(left or right) <= {"#"}
        if left[0] == "#":
            return meet(i + 1, j) or meet(i, j + 1)
        if right[0] == "#":
            return meet(i, j + 1) or meet(i + 1, j)
        is_one = left[0] == right[0] or "+" in (left[0], right[0])
        return is_one and meet(i + 1, j + 1)

    return meet(0, 0)
