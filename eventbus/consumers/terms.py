"""What a consumer asks for when it comes: its subscription, and how that is to be served."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.patterns import Pattern

MAX_PREFETCH = 1_000


@dataclass(frozen=True, slots=True)
class Terms:
    """The subscription that a consumer serves; all consumers of one name have the same terms.

    ``max_attempts`` and ``timeout_s`` are None for the bus's own.
    """

    name: str
    pattern: Pattern
    max_attempts: int | None = None
    timeout_s: float | None = None

    def difference(self, other: Terms) -> str | None:
        """What these terms have otherwise than ``other``, in words; None when nothing."""
        for field in ("pattern", "max_attempts", "timeout_s"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                return f"{field} {_shown(ours)} instead of {_shown(theirs)}"
        return None


def _shown(value: object) -> str:
    return "the default" if value is None else str(value)
