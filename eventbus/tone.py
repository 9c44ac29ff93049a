"""What an event of a type means to whoever reads along."""

from __future__ import annotations

from typing import Literal

Tone = Literal["bad", "warn", "good", "plain"]

_BAD_ENDINGS = (".failed", ".errored", ".exhausted", ".stalled", ".error", ".crashed", ".rejected")
_GOOD_ENDINGS = (".completed", ".processed", ".succeeded", ".resolved")


def tone(event_type: str) -> Tone:
    """What an event of this type means to the reader: ``bad``, ``warn``, ``good`` or ``plain``."""
    if event_type.startswith(("alert.critical", "alert.error")):
        return "bad"
    if event_type.startswith("alert.warning") or event_type.endswith((".retry", ".retrying")):
        return "warn"
    if event_type.endswith(_BAD_ENDINGS):
        return "bad"
    if event_type.endswith(_GOOD_ENDINGS):
        return "good"
    return "plain"
