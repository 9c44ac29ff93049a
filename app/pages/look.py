"""How kinds of things look: the hue of a family, of a state, and the tone of an event type."""

from __future__ import annotations

import zlib

from eventbus.tone import tone as tone

# One fixed hue per family that the built-in handlers know; static/css/tokens.css has the colours.
FAMILY_HUES = {
    "evaluation": "indigo",
    "queue": "blue",
    "monitoring": "orchid",
    "metrics": "pink",
    "storage": "olive",
    "alert": "red",
    "cleanup": "grey",
}
# Families of users' own; red and grey mean something, so they are never handed out.
OTHER_HUES = ("teal", "orange", "green", "amber", "orchid", "olive", "blue", "pink")

STATE_HUES = {
    # evaluations
    "active": "blue",
    "retrying": "amber",
    "completed": "green",
    "failed": "red",
    "exhausted": "pink",
    "stalled": "orange",
    # deliveries and their attempts
    "pending": "grey",
    "running": "blue",
    "succeeded": "green",
    "dead": "pink",
    "discarded": "grey",
    "cancelled": "grey",
    "timeout": "orange",
    "crashed": "pink",
    # alerts
    "open": "red",
    "acknowledged": "amber",
    "resolved": "green",
    "muted": "grey",
    "regressed": "pink",
    # subscriptions
    "served": "green",
    "paused": "amber",
    "unserved": "grey",
    # operations
    "finished": "green",
    "stopped": "amber",
    # severities
    "critical": "red",
    "warning": "amber",
    "info": "blue",
}
STATE_ICONS = {
    "active": "half",
    "running": "half",
    "retrying": "retry",
    "completed": "check",
    "succeeded": "check",
    "resolved": "check",
    "finished": "check",
    "failed": "cross",
    "open": "bell",
    "regressed": "bell",
    "exhausted": "block",
    "dead": "block",
    "crashed": "block",
    "stalled": "clock",
    "discarded": "cross",
    "stopped": "cross",
    "cancelled": "cross",
    "timeout": "clock",
    "pending": "ring",
    "served": "check",
    "paused": "pause",
    "unserved": "ring",
    "acknowledged": "eye",
    "muted": "mute",
    "critical": "alert",
    "warning": "alert",
    "info": "info",
}


def family_hue(family: str) -> str:
    """The hue of a type's first segment; the same on every page, process and day."""
    known = FAMILY_HUES.get(family)
    return known or OTHER_HUES[zlib.crc32(family.encode()) % len(OTHER_HUES)]


def state_hue(state: str) -> str:
    """The hue of a state's name; grey for one that is not known."""
    return STATE_HUES.get(state, "grey")


def state_icon(state: str) -> str:
    """The name of the icon that stands for a state beside its name."""
    return STATE_ICONS.get(state, "ring")
