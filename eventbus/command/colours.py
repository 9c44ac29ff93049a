"""Which colour means what: families of types, what an event tells, states."""

from __future__ import annotations

import zlib

from eventbus.tone import tone

# The families of the built-in handlers have the colours that they have on the pages.
_FAMILIES = {
    "evaluation": "indigo", "queue": "blue", "monitoring": "magenta", "metrics": "pink",
    "storage": "olive", "alert": "red", "cleanup": "dim", "bus": "dim",
}  # fmt: skip
_OTHERS = ("cyan", "green", "yellow", "magenta", "olive", "blue", "pink")
_STATES = {
    "green": ("completed", "succeeded", "resolved", "finished", "served", "ready", "ok"),
    "red": ("failed", "exhausted", "dead", "open", "regressed", "crashed", "timeout", "critical"),
    "yellow": ("retrying", "stalled", "paused", "acknowledged", "warning", "stopped"),
    "blue": ("active", "running", "info"),
    "dim": ("pending", "discarded", "cancelled", "muted", "unserved"),
}
_BY_STATE = {state: colour for colour, states in _STATES.items() for state in states}


def family_colour(type: str) -> str:
    """The colour of a type's first segment, the same in every process and on every day."""
    family = type.partition(".")[0]
    return _FAMILIES.get(family) or _OTHERS[zlib.crc32(family.encode()) % len(_OTHERS)]


def type_styles(type: str) -> tuple[str, ...]:
    """How a type is written: bold red for what failed, else in its family's colour."""
    return ("bold", "red") if tone(type) == "bad" else (family_colour(type),)


def state_colour(state: str) -> str:
    """The colour of a state, a severity or an outcome; none for one that is not known."""
    return _BY_STATE.get(state, "")
