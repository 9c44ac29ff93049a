"""What a fact changed about a group of alerts, as one word for its history and notifications."""

from __future__ import annotations

from typing import Literal

from handlers.alert.lifecycle import AlertRow, Fact, Occurrence

ChangeKind = Literal[
    "raised", "regressed", "worsened", "reopened", "acknowledged", "resolved", "muted", "unmuted"
]
CHANGES: tuple[ChangeKind, ...] = (
    "raised", "regressed", "worsened", "reopened", "acknowledged", "resolved", "muted", "unmuted",
)  # fmt: skip


def change_of(old: AlertRow | None, new: AlertRow | None, fact: Fact) -> ChangeKind | None:
    """The change from ``old`` to ``new`` by ``fact``; None for one more occurrence, or nothing."""
    if new is None or new is old:
        return None
    if not isinstance(fact, Occurrence):
        has_occurred = old is not None and new.occurrences > old.occurrences_at_mute
        return "reopened" if fact.kind == "unmuted" and new.is_open and has_occurred else fact.kind
    if old is None:
        return "raised"
    if new.state == "muted":  # silent, so its severity is no news either
        return None
    if new.state == "regressed" and old.state != "regressed":
        return "regressed"
    if new.rank > old.rank:
        return "worsened"
    if new.state == old.state:
        return None
    # Without a higher severity, only a mute is left: its time was over, or there were too many.
    return "reopened" if old.muted_until is not None else "worsened"
