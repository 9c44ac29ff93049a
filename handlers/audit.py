"""The audit trail: one log line for everything that somebody may have to answer for."""

from __future__ import annotations

import logging

from eventbus import EventBus
from eventbus.dryrun.bus import DryRunBus
from eventbus.replay import ReplayBus


def trail(bus: EventBus | ReplayBus | DryRunBus) -> logging.Logger:
    """The logger "eventbus.audit"; of a replay nothing is written, it was when it happened.

    Nor is it of a dry run, in which nothing happens.

    A line is written while its event is handled, so a delivery that is repeated after a crash
    repeats its line too; the log itself has the event once.
    """
    if isinstance(bus, ReplayBus | DryRunBus):
        silent = logging.Logger("eventbus.audit.replay")
        silent.disabled = True
        return silent
    return logging.getLogger("eventbus.audit")
