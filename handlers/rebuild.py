"""Rebuilding the built-in read models from the log, or checking that they are what it gives."""

from __future__ import annotations

from typing import cast

from eventbus import EventBus
from eventbus.log import EventLog
from eventbus.rebuild import Rebuild
from handlers.installation import install
from handlers.settings import HandlerSettings
from handlers.subscriptions import rows_replaced
from handlers.tables import metadata

# How much of a processor a rebuild takes while the bus runs.
_SHARE = 0.5


def rebuild(
    source: EventBus | EventLog, settings: HandlerSettings | None = None, *, is_check: bool = False
) -> Rebuild:
    """A rebuild of all read models' tables, to be run; with ``is_check`` it only compares.

    On a bus it runs beside it, with half a processor; on a log alone with a whole one.
    """
    is_live = isinstance(source, EventBus)
    log = source.log if isinstance(source, EventBus) else source
    return Rebuild(
        log,
        lambda bus: install(cast(EventBus, bus), settings),  # the same surface, for handlers
        metadata.sorted_tables,
        is_check=is_check,
        share=_SHARE if is_live else 1.0,
        replaced=lambda: rows_replaced(source) if isinstance(source, EventBus) else None,
    )
