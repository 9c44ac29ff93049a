"""Payloads by role: which fields are hidden, from whom, and what is left of a payload (0047)."""

from __future__ import annotations

import json
import threading
from typing import Any

from app.access.mask_rules import KEPT, MaskRule, Tokens, kept_fields
from app.access.principal import Principal
from app.access.scopes import Role
from eventbus.validation import encode_json

HIDDEN = "•••"
"""What stands in the place of a value that is hidden."""
_MOST_TYPES = 4_096
# What could not be recorded is told with its body, or a part of it, whatever type it was to have.
_IMPLIED = MaskRule.read_all(
    "bus.intake.rejected: /reason, /errors, /attributes, /body_base64; "
    "bus.events.imported: /errors, /error"
)


class Mask:
    """The lens of everybody without the right to whole payloads; any thread may ask it.

    What it hides of a type is found once and remembered.
    """

    def __init__(self, rules: tuple[MaskRule, ...], below: Role) -> None:
        """``below`` is the role from which on payloads are seen whole."""
        self._rules = (*rules, *_IMPLIED)
        self._below = below
        self._lock = threading.Lock()
        self._types: dict[str, tuple[Tokens, ...]] = {}

    def is_for(self, known: Principal) -> bool:
        """Whether somebody sees payloads only through it.

        While nobody has to sign in there are no roles, and nothing is hidden.
        """
        if known.kind in ("everybody", "local"):
            return False
        has_right = "payloads" in known.scopes or "admin" in known.scopes
        return not has_right and not (self._below == "operator" and "operate" in known.scopes)

    def hides(self, type: str) -> bool:
        """Whether anything is hidden of events of a type."""
        return bool(self._of(type))

    def text(self, type: str, data_json: str) -> str:
        """What is left of a payload, both as JSON text."""
        hidden = self._of(type)
        if not hidden:
            return data_json
        data = json.loads(data_json)
        kept = kept_fields(type) | KEPT
        for tokens in hidden:
            _hide(data, tokens, kept)
        return encode_json(data)

    def _of(self, type: str) -> tuple[Tokens, ...]:
        found = self._types.get(type)
        if found is None:
            found = tuple(
                tokens for rule in self._rules if rule.pattern.matches(type)
                for tokens in rule.pointers
            )  # fmt: skip
            with self._lock:
                if len(self._types) >= _MOST_TYPES:  # somebody makes types up
                    self._types = {}
                self._types[type] = found
        return found


def _hide(value: Any, tokens: Tokens, kept: frozenset[str] = frozenset()) -> Any:
    """``value`` with what the tokens lead to hidden, in its own place where it has members.

    Where a rule leads on and there is no member to lead to, but another kind of value than the
    rule expects, that is hidden: a publisher who sends it in another shape must not show it.
    """
    if not tokens:
        return HIDDEN
    first, rest = tokens[0], tokens[1:]
    if isinstance(value, dict):
        names = [name for name in value if name not in kept] if first == "*" else [first]
        for name in names:
            if name in value:
                value[name] = _hide(value[name], rest)
        return value
    if isinstance(value, list):
        if first == "*":
            value[:] = [_hide(each, rest) for each in value]
        elif not (first.isascii() and first.isdecimal()):
            return HIDDEN
        elif int(first) < len(value):
            value[int(first)] = _hide(value[int(first)], rest)
        return value
    return value if value is None else HIDDEN
