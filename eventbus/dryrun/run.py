"""The dry run itself: from event to handlers to further events, until all is told or it is late."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventbus.dryrun.bus import Check, DryRunBus, Wishes
from eventbus.dryrun.values import (
    DryRunResult,
    Foreseen,
    Intent,
    Matching,
    StateChange,
    Trial,
)
from eventbus.effects import set_effects
from eventbus.errors import DryRunError, OverlayError, RejectError
from eventbus.event import Event
from eventbus.failures import describe
from eventbus.log.compare import Tables
from eventbus.log.eventlog import EventLog
from eventbus.log.ground import open_ground
from eventbus.log.overlay import Overlay
from eventbus.log.unit import Apply
from eventbus.scheduled import ScheduledEvent
from eventbus.timestamps import from_microseconds

MOST_EVENTS = 200
MOST_BYTES = 4 * 1024 * 1024  # of their payloads
MOST_CHANGES = 500
DEFAULT_S = 2.0
# A dry run takes a few milliseconds of a processor, which the bus needs: so few at a time.
_AT_ONCE = 2
_WAIT_S = 2.0

_LATE = "it was not done in the time for a dry run"
_IRREVOCABLE = "not run in a preview: what it does cannot be taken back"

_turns = threading.BoundedSemaphore(_AT_ONCE)


class DryRun:
    """Runs handlers made for the purpose, on the committed state, with effects that never happen.

    ``install`` is called with a bus that looks like a real one and subscribes the handlers that
    may be run; other subscriptions that match are told as not run. ``tables`` are those that the
    handlers keep. Nothing is recorded, delivered, scheduled or written, no lock is held that
    others wait for, and the bus's own handlers and what they remember are left alone.
    """

    def __init__(
        self,
        log: EventLog,
        install: Callable[[DryRunBus], object],
        tables: Tables,
        subscriptions: Sequence[Matching],
        source: str,
        loggers: Sequence[str] = (),
        check: Check | None = None,
    ) -> None:
        """What the handlers write to ``loggers`` meanwhile is dropped: nothing has happened.

        ``check`` raises for an event that the bus would refuse.
        """
        self._check = check
        self._loggers = [logging.getLogger(name) for name in loggers]
        self._log = log
        self._install = install
        self._tables = tables
        self._subscriptions = subscriptions
        self._source = source

    def run(self, events: Sequence[Event], within_s: float = DEFAULT_S) -> DryRunResult:
        """What would happen if ``events`` were published now; blocks, not for an event loop.

        Raises DryRunError when too many are under way, OverlayError when the log cannot be read.
        """
        with _turn(), _hushed(self._loggers):
            began = time.monotonic()
            late_at = began + within_s
            is_late = lambda: time.monotonic() > late_at  # noqa: E731
            with open_ground(self._log, self._tables, is_late) as ground:
                overlay = Overlay(ground, self._tables)
                bus = DryRunBus(self._log, overlay, self._source, self._check)
                self._install(bus)
                walk = _Walk(self._log, bus, overlay, self._subscriptions, late_at)
                with asyncio.Runner() as runner:
                    runner.run(walk.run(events))
            walk.result.duration_ms = (time.monotonic() - began) * 1_000
            return walk.result


class _Walk:
    """One dry run under way."""

    def __init__(
        self,
        log: EventLog,
        bus: DryRunBus,
        overlay: Overlay,
        subscriptions: Sequence[Matching],
        late_at: float,
    ) -> None:
        self._log = log
        self._bus = bus
        self._overlay = overlay
        self._subscriptions = subscriptions
        self._late_at = late_at
        self._seen: set[tuple[str, str]] = set()
        self.result = DryRunResult(log.last_sequence)
        self._sequence = self.result.sequence

    async def run(self, events: Sequence[Event]) -> None:
        waiting: deque[Foreseen] = deque()
        for event in events:
            foreseen = self._given(event)
            self.result.given.append(foreseen)
            waiting.append(foreseen)
        while waiting:
            foreseen = waiting.popleft()
            if foreseen.is_duplicate or (foreseen.by is not None and foreseen.at is not None):
                continue  # what comes later meets a state that nobody knows yet
            if time.monotonic() > self._late_at:
                self._stop("the time for a dry run is up")
                return
            foreseen.is_followed = True
            for matching in self._subscriptions:
                if matching.pattern.matches(foreseen.event.type):
                    further = await self._try(foreseen, matching)
                    self.result.further += further
                    waiting += further
            if len(self.result.further) >= MOST_EVENTS:
                self._stop(f"there are {MOST_EVENTS} further events or more")
                return
            if sum(len(each.event.data_json) for each in self.result.further) > MOST_BYTES:
                self._stop(f"further events have more than {MOST_BYTES:,} bytes of data")
                return

    def _given(self, event: Event) -> Foreseen:
        at = None
        if isinstance(event, ScheduledEvent):
            now_us = time.time_ns() // 1_000
            due_us = event.due_us(now_us)
            if due_us > now_us:
                at = from_microseconds(due_us)
            # With the state of now: that is what can be known.
            is_shifted = at is not None and not event.is_timed
            event = event.plain(**({"time": at} if is_shifted else {}))
        return self._foresee(event, 0, None, at)

    def _foresee(self, event: Event, level: int, by: str | None, at: Any) -> Foreseen:
        """The event at the place that it would have."""
        key = event.source, event.id
        is_duplicate = key in self._seen or self._log.get(event.id, event.source) is not None
        self._seen.add(key)
        if not is_duplicate and at is None:
            self._sequence += 1
            event = event.copy(self._sequence)
        elif not is_duplicate and by is None:
            event = event.copy(self._sequence + 1)
        return Foreseen(event, level, by, at, is_duplicate)

    async def _try(self, foreseen: Foreseen, matching: Matching) -> list[Foreseen]:
        """Run one handler; its further events."""
        event = foreseen.event
        handler = self._bus.handlers.get(matching.name)
        if handler is None or matching.held is not None:
            why = matching.held or _IRREVOCABLE
            foreseen.trials.append(_trial(matching, event, "not_run", reason=why))
            return []
        wishes = self._bus.begin(event, matching.name)
        began = time.perf_counter()
        try:
            await self._call(handler, event.copy(), wishes)
            changes = self._apply(wishes)
        except OverlayError as error:
            foreseen.trials.append(_trial(matching, event, "not_run", reason=str(error)))
            return []
        except Exception as error:
            if time.monotonic() > self._late_at:  # whatever it raised comes of being cut off
                foreseen.trials.append(_trial(matching, event, "not_run", reason=_LATE))
            else:
                foreseen.trials.append(_failed(matching, event, error, began))
            return []
        finally:
            self._bus.wishes = None
        duration_ms = (time.perf_counter() - began) * 1_000
        foreseen.trials.append(_trial(matching, event, "would_succeed", duration_ms=duration_ms))
        self._note(changes, wishes)
        level, name = foreseen.level + 1, matching.name
        further = [self._foresee(each, level, name, None) for each in wishes.effects.events]
        return further + [self._foresee(each, level, name, at) for each, at in wishes.scheduled]

    async def _call(self, handler: Callable[[Event], Any], event: Event, wishes: Wishes) -> None:
        set_effects(wishes.effects)
        try:
            async with asyncio.timeout(max(0.0, self._late_at - time.monotonic())):
                result = handler(event)
                if inspect.isawaitable(result):
                    await result
            if wishes.effects.error is not None:  # refused, and the handler caught the refusal
                raise wishes.effects.error
        finally:
            wishes.effects.is_open = False
            set_effects(None)

    def _apply(self, wishes: Wishes) -> list[StateChange]:
        groups: dict[Apply, list[Any]] = {}
        for apply, params in wishes.effects.changes:
            groups.setdefault(apply, []).append(params)
        if not groups:
            return []
        effects = wishes.effects
        with self._overlay.attempt() as conn:
            for apply, params_list in groups.items():
                apply(conn, params_list)
        return [
            StateChange(
                effects.subscription, effects.event.id, each.table, each.key, each.before,
                each.after,
            )
            for each in self._overlay.changes()
        ]  # fmt: skip

    def _note(self, changes: list[StateChange], wishes: Wishes) -> None:
        result = self.result
        result.changes += changes[: MOST_CHANGES - len(result.changes)]
        name, event_id = wishes.effects.subscription, wishes.effects.event.id
        result.intents += [Intent(name, event_id, "cancel", id) for id in wishes.cancelled]

    def _stop(self, why: str) -> None:
        self.result.bound = f"{why}; what comes after is not shown"


@contextmanager
def _hushed(loggers: Sequence[logging.Logger]) -> Iterator[None]:
    mine = threading.get_ident()

    def is_others(record: logging.LogRecord) -> bool:
        return record.thread != mine

    for logger in loggers:
        logger.addFilter(is_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_others)


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_WAIT_S):
        raise DryRunError(f"{_AT_ONCE} dry runs are under way; try again in a moment")
    try:
        yield
    finally:
        _turns.release()


def _trial(matching: Matching, event: Event, outcome: Any, **more: Any) -> Trial:
    return Trial(matching.name, matching.pattern.text, event.id, outcome, **more)


def _failed(matching: Matching, event: Event, error: Exception, began: float) -> Trial:
    if isinstance(error, RejectError):
        reason = "it would be a dead letter at once: no retry can help"
    else:
        reason = "it would be tried again later"
    error_class, message, traceback = describe(error)
    return _trial(
        matching, event, "would_fail", reason=reason,
        duration_ms=(time.perf_counter() - began) * 1_000,
        error_class=error_class, error_message=message, traceback=traceback,
    )  # fmt: skip
