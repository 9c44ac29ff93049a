"""Retention of a bus's log with the built-in read models in its baseline."""

from __future__ import annotations

from typing import cast

from eventbus import EventBus
from eventbus.retention import Retention, RetentionRules
from eventbus.retention.rules import MIN_AGE_S
from eventbus.timestamps import to_microseconds
from handlers.installation import install
from handlers.settings import HandlerSettings


def retention(
    bus: EventBus,
    rules: RetentionRules,
    settings: HandlerSettings | None = None,
    *,
    max_bytes: int = 0,
    min_age_s: float = MIN_AGE_S,
) -> Retention:
    """The retention of ``bus``, to be run now and then; ages are by the bus's clock."""
    return Retention(
        bus.log,
        rules,
        lambda replay: install(cast(EventBus, replay), settings),  # the same surface, for handlers
        max_bytes=max_bytes,
        min_age_s=min_age_s,
        now_us=lambda: to_microseconds(bus.now()),
    )
