"""The way from the threads that commit to the bus's loop: one call a commit, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from eventbus.lane import Job
from eventbus.log.commit import call_soon
from eventbus.log.unit import Unit
from eventbus.log.writer import Deliveries

# Events on their way, and the size of their payloads; beyond either, lanes read the log.
_MAX_EVENTS = 10_000
_MAX_CHARS = 16 * 1024 * 1024
_TOKENS = (Job, list)  # of units that come back: of one delivery, or of many that succeeded


class Handover:
    """``after_commit`` is called by whoever commits, under the commit lock; the rest on the loop.

    The counts go up there and down here without a common lock: they may be off by a commit, and
    only have to keep a bound roughly.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Deliveries, list[Unit]], None],
        skip: Callable[[int], None],
    ) -> None:
        """``take`` gets each commit; ``skip`` the newest sequence of those that were left out."""
        self._loop = loop
        self._take = take
        self._skip = skip
        self.wants_all = False
        """Whether also events are taken that no durable subscription gets."""
        self._given = self._given_chars = 0
        self._taken = self._taken_chars = 0
        # Told to the loop once until it has looked, so that nothing piles up while a handler
        # blocks it.
        self._skipped = 0
        self._is_skip_told = False

    def after_commit(self, recorded: Deliveries, batch: list[Unit]) -> None:
        """Hand a commit over, in commit order."""
        if not self.wants_all:
            recorded = [entry for entry in recorded if entry[1]]
        units = [unit for unit in batch if isinstance(unit.token, _TOKENS)]
        chars = 0
        if recorded:
            chars = sum([len(event.data_json) for event, _ in recorded])
            if self._is_crowded(chars):
                self._skipped = recorded[-1][0].sequence or 0
                recorded = []
                chars = 0
                if not self._is_skip_told:
                    self._is_skip_told = True
                    call_soon(self._loop, self._tell_skip)
        if recorded or units:
            self._given += len(recorded)
            self._given_chars += chars
            call_soon(self._loop, self._arrived, recorded, chars, units)

    def _is_crowded(self, chars: int) -> bool:
        if self._given - self._taken > _MAX_EVENTS:
            return True
        waiting = self._given_chars - self._taken_chars
        return waiting > 0 and waiting + chars > _MAX_CHARS

    def _tell_skip(self) -> None:
        self._is_skip_told = False  # first: what is skipped from here on is told again
        self._skip(self._skipped)

    def _arrived(self, recorded: Deliveries, chars: int, units: list[Unit]) -> None:
        self._taken += len(recorded)
        self._taken_chars += chars
        self._take(recorded, units)
