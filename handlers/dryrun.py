"""Trying events out on the built-in handlers: what they would lead to, without doing it."""

from __future__ import annotations

from typing import cast

from eventbus import EventBus
from eventbus.dryrun import DryRun, Matching
from eventbus.dryrun.bus import DryRunBus
from eventbus.log.subscribers import Subscriber
from handlers.installation import KINDS
from handlers.settings import HandlerSettings
from handlers.tables import metadata


def dry_run(bus: EventBus, settings: HandlerSettings, source: str) -> DryRun:
    """A dry run of what is published to ``bus``, whose handlers are installed.

    The built-in handlers are run, new ones for each time; all others are only told of.
    """
    served = bus.served()
    subscriptions = [
        Matching(stored.name, stored.pattern, _held(stored, stored.name in served))
        for stored in sorted(bus.log.subscribers(), key=lambda stored: stored.name)
    ]

    def install(stage: DryRunBus) -> None:
        for kind in KINDS:
            handler = kind(cast(EventBus, stage), settings)  # the same surface, for handlers
            stage.subscribe(handler.pattern, handler.handle, name=handler.name)

    return DryRun(
        bus.log, install, metadata.sorted_tables, subscriptions, source, ("eventbus.handlers",),
        None if bus.catalogue is None else bus.catalogue.would_refuse,
    )  # fmt: skip


def _held(stored: Subscriber, is_served: bool) -> str | None:
    if stored.pause is not None:
        return f"paused by {stored.pause.by}: it would wait"
    return None if is_served else "nothing serves it now: it would wait"
