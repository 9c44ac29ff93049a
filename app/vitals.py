"""The server's own health, watched: warnings before something breaks, and events that tell."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from app.config import Settings
from app.process import this_process
from eventbus import Event, EventBus, Pattern
from eventbus.errors import EventBusError
from eventbus.log import EventQuery
from eventbus.log.backlog import Backlog, backlogs
from eventbus.log.restore import RESTORED
from eventbus.log.space import disk_bytes
from eventbus.serving import WORK
from eventbus.threads import start_thread
from eventbus.timestamps import from_microseconds
from eventbus.trouble import Part, Trouble

STARTED, STOPPED = "bus.started", "bus.stopped"
BEGAN, ENDED = "bus.trouble.began", "bus.trouble.ended"
SOURCE = "/health"

Previous = Literal["stopped", "crashed", "restored"]

_monotonic = time.monotonic

_LOOK_S = 1.0
# What needs the database or the disk is asked for more rarely.
_SURVEY_S = 5.0
# A trouble that comes back within this time has not ended: nobody wants it told of again and again.
_QUIET_S = 30.0
_GROWTH_S = 60.0
_MOST_SUBSCRIPTIONS = 1_000
_MOST_LOOKED_AT = 200
_MOST_TOLD = 5  # subscriptions that are far behind, of which it is told one by one
_STOP_S = 0.5
_JOIN_S = 0.3

log = logging.getLogger(__name__)

Key = tuple[Part, str | None]


@dataclass(slots=True)
class _Told:
    """A trouble of which it was told that it began; ``seen_at`` is monotonic."""

    trouble: Trouble
    seen_at: float
    ended_at: datetime
    times: int = 1
    is_there: bool = True


class Vitals:
    """One thread, "eventbus-vitals"; nobody waits for it, so a log that hangs holds up it alone.

    It hands the bus its warnings, and records ``bus.trouble.began`` and ``bus.trouble.ended``:
    at most one pair for each trouble in ``_QUIET_S``, so that no trouble, not even one that its
    events cause, makes a flood of them. What cannot be recorded now is recorded when it can.
    """

    def __init__(self, bus: EventBus, settings: Settings) -> None:
        self.previous: Previous | None = None
        """How the process before ended; None when there was none, or none in this one's place."""
        self._bus = bus
        self._settings = settings
        self._told: dict[Key, _Told] = {}
        self._unsaid: deque[Event] = deque(maxlen=100)
        self._warnings: dict[Key, Trouble] = {}
        self._surveyed_at = -_SURVEY_S
        self._dead: deque[tuple[float, int]] = deque()  # how many dead letters there were when
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-vitals", daemon=True)

    def start(self) -> None:
        """Say that the bus has started, and begin to look. Raises NoThreadError."""
        if self._bus.log.last_sequence:  # an empty log stays so until somebody publishes
            self.previous = previous_end(self._bus)
            how = {} if self.previous is None else {"previous": self.previous}
            self._say(STARTED, {**how, **this_process(self._bus).place}, "bus")
        start_thread(self._thread)

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def stopped(self) -> None:
        """Say that the bus stops in good order; the last that its log takes."""
        if self._bus.log.last_sequence and not self._bus.log.storage.troubles():
            try:
                data = this_process(self._bus).place
                self._bus.publish_event(_event(STOPPED, data, "bus")).wait(_STOP_S)
            except EventBusError as error:
                log.warning("that the bus stops could not be recorded: %s", error)

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("looking after the server's health failed")

    def look(self) -> None:
        """Look once, and tell of what has changed."""
        now = _monotonic()
        if now - self._surveyed_at >= _SURVEY_S:
            self._surveyed_at = now
            try:
                found = list(self._survey(now))
            except EventBusError:  # which the bus itself is troubled by
                found = list(self._warnings.values())
            # What goes on keeps its sentence and its beginning.
            self._warnings = {_key(t): self._warnings.get(_key(t), t) for t in found}
            self._bus.watchdog.warnings = tuple(self._warnings.values())
        self._tell(self._bus.troubles(), now)

    def _survey(self, now: float) -> Iterable[Trouble]:
        bus, settings = self._bus, self._settings
        free, _ = disk_bytes(bus.log.path)
        if free < settings.warn_disk_bytes:
            what = "files beside the database" if bus.log.storage.is_on_server else "database"
            yield _warning(
                "disk",
                f"{free / 1e6:,.0f} MB are left on the disk of the {what}, less than the "
                f"{settings.warn_disk_bytes / 1e6:,.0f} MB of EVENTBUS_WARN_DISK_BYTES",
            )
        if not bus.serving.does(WORK):
            return  # of what is the same for all processes one tells
        if settings.warn_lag_s:
            with bus.log.reading() as conn:
                found = backlogs(conn, _MOST_SUBSCRIPTIONS)
            yield from self._far_behind(found)
        if settings.warn_dead_letters:
            yield from self._giving_up(now)

    def _far_behind(self, found: list[Backlog]) -> Iterable[Trouble]:
        most_s = self._settings.warn_lag_s
        before_us = time.time_ns() // 1_000 - int(most_s * 1e6)
        paused = {known.name for known in self._bus.log.subscribers() if known.pause is not None}
        late = [
            (one.oldest_us, one)
            for one in found
            if one.oldest_us is not None
            and one.oldest_us < before_us
            and one.subscription not in paused
        ]
        late.sort(key=lambda pair: pair[0])
        served = self._bus.served()
        served |= self._bus.serving.elsewhere({one.subscription for _, one in late} - served)
        for oldest_us, one in late[:_MOST_TOLD]:
            why = "" if one.subscription in served else "; nothing serves it"
            yield _warning(
                "lag",
                f"the subscription {one.subscription} is more than {most_s:g} s behind: "
                f"{one.lag:,} events are not finished{why}",
                one.subscription,
                from_microseconds(oldest_us),
            )

    def _giving_up(self, now: float) -> Iterable[Trouble]:
        dead = self._dead
        dead.append((now, self._bus.log.dead_letters.total()))
        while len(dead) > 1 and dead[1][0] <= now - _GROWTH_S:
            dead.popleft()
        more = dead[-1][1] - min(count for _, count in dead)
        if more >= self._settings.warn_dead_letters:
            yield _warning(
                "dead_letters",
                f"{more:,} deliveries became dead letters within a minute; there are "
                f"{dead[-1][1]:,} now",
            )

    def _tell(self, troubles: list[Trouble], now: float) -> None:
        there = {_key(trouble): trouble for trouble in troubles}
        for key, trouble in there.items():
            told = self._told.get(key)
            if told is None:
                self._told[key] = _Told(trouble, now, datetime.now(UTC))
                self._say(BEGAN, _described(trouble), _subject(trouble))
            else:
                told.times += not told.is_there
                told.is_there, told.seen_at, told.ended_at = True, now, datetime.now(UTC)
        for key, told in list(self._told.items()):
            if key not in there:
                told.is_there = False
                if now - told.seen_at >= _QUIET_S:
                    del self._told[key]
                    lasted_s = (told.ended_at - told.trouble.since).total_seconds()
                    data = {
                        **_described(told.trouble),
                        "until": _text(told.ended_at),
                        "duration_s": round(max(0.0, lasted_s), 1),
                        "times": told.times,
                    }
                    self._say(ENDED, data, _subject(told.trouble))
        self._say_rest()

    def _say(self, type: str, data: dict[str, Any], subject: str) -> None:
        self._unsaid.append(_event(type, data, subject))
        self._say_rest()

    def _say_rest(self) -> None:
        while self._unsaid:
            if self._bus.log.storage.troubles():
                return
            try:
                self._bus.publish_event(self._unsaid[0]).wait(_LOOK_S)
            except EventBusError:
                return  # it keeps its id: should it be recorded after all, then it is once
            self._unsaid.popleft()


def previous_end(bus: EventBus) -> Previous | None:
    """How the process before this one ended, by what it left behind.

    Where several share the log it is that of the same number on the same machine, if one is known.
    """
    if bus.log.channel:
        return _previous_here(bus)
    newest_of = {}
    for type in (STARTED, STOPPED, RESTORED):
        for event in bus.log.query(EventQuery(pattern=Pattern(type), limit=1)).events:
            newest_of[event.sequence or 0] = type
    newest = newest_of[max(newest_of)] if newest_of else None
    if newest == RESTORED:
        return "restored"
    # The lock file alone would also say so when a check after a crash was not finished.
    return "crashed" if bus.log.owes_check and newest != STOPPED else "stopped"


def _previous_here(bus: EventBus) -> Previous | None:
    own = this_process(bus)
    found: dict[int, Previous] = {}
    ends: tuple[tuple[str, Previous], ...] = ((STARTED, "crashed"), (STOPPED, "stopped"))
    for type, how in ends:
        for event in bus.log.query(EventQuery(pattern=Pattern(type), limit=_MOST_LOOKED_AT)).events:
            if (event.get("host"), event.get("number")) == (own.host, own.number):
                found[event.sequence or 0] = how
                break
    return found[max(found)] if found else None


def _event(type: str, data: dict[str, Any], subject: str) -> Event:
    return Event.create(type, data, source=SOURCE, subject=subject)


def _warning(
    part: Part, detail: str, subject: str | None = None, since: datetime | None = None
) -> Trouble:
    return Trouble(part, detail, since or datetime.now(UTC), "warning", subject)


def _key(trouble: Trouble) -> Key:
    return trouble.part, trouble.subject


def _subject(trouble: Trouble) -> str:
    return trouble.subject or trouble.part


def _described(trouble: Trouble) -> dict[str, Any]:
    return {
        "part": trouble.part,
        "severity": trouble.severity,
        "detail": trouble.detail,
        "since": _text(trouble.since),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
