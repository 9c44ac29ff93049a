"""Which schemas are enforced: rules like ``evaluation.* enforce``, the first that matches holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eventbus.catalogue.declaration import MODES, Mode
from eventbus.errors import DeclarationError, FieldError, PatternError
from eventbus.patterns import Pattern

Unknown = Literal["allow", "warn", "refuse"]


@dataclass(frozen=True, slots=True)
class ModeRule:
    """Types that match are checked in this mode, whatever their declarations say."""

    pattern: Pattern
    mode: Mode

    def __str__(self) -> str:
        return f"{self.pattern.text} {self.mode}"


@dataclass(frozen=True, slots=True)
class ModeRules:
    """Rules in their order."""

    rules: Sequence[ModeRule] = ()

    @classmethod
    def parse(cls, text: str) -> ModeRules:
        """Rules separated by semicolons. Raises DeclarationError."""
        return cls(tuple(_rule(part.strip()) for part in text.split(";") if part.strip()))

    def mode_of(self, type: str) -> Mode | None:
        """The mode for a type; None when no rule is about it."""
        return next((rule.mode for rule in self.rules if rule.pattern.matches(type)), None)


def _rule(text: str) -> ModeRule:
    pattern, _, mode = text.partition(" ")
    mode = mode.strip()
    try:
        if mode not in MODES:
            raise PatternError(f"must end in one of {', '.join(MODES)}")
        return ModeRule(Pattern(pattern), mode)
    except PatternError as error:
        raise DeclarationError([FieldError("", f"{text!r}: {error}")]) from None
