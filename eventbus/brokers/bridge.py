"""The bridge: a bus and a broker, connected for as long as both are there, and again after that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

from eventbus.brokers.address import BrokerAddress
from eventbus.brokers.broker import Broker, Link
from eventbus.brokers.intake import Intake
from eventbus.brokers.opening import open_broker
from eventbus.brokers.relay import MOST_AT_ONCE, RELAY_NAME, Relay, by_event
from eventbus.bus import EventBus
from eventbus.errors import (
    BrokerAwayError,
    BrokerDeniedError,
    BusClosedError,
    EventBusError,
    PatternError,
)
from eventbus.log.commit import call_soon
from eventbus.patterns import Pattern
from eventbus.threads import is_process_ending, start_thread
from eventbus.trouble import Trouble
from eventbus.validation import MAX_EVENT_BYTES

logger = logging.getLogger("eventbus.brokers")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
# A connection that lived so long was a good one: the next attempt comes soon again.
_GOOD_S = 10.0
_LAST_CONFIRMS_S = 0.5
_STOP_S = 1.5
_COUNT_EVERY_S = 2.0
# An attempt of the relay lasts until the broker has confirmed, through any outage.
_NO_TIMEOUT_S = 1e9
_ALL = Pattern("#")
_OWN_FAMILY = "bus"

State = Literal["connecting", "connected", "away"]


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """How the connection does: ``waiting`` counts events that are not sent yet, as last counted.

    ``sent`` and the others count since the start; ``since`` is when ``state`` began, ``reason``
    why the broker is away, ``warning`` what is amiss although it is connected.
    """

    broker: str
    url: str
    state: State
    since: datetime
    reason: str | None
    waiting: int
    sent: int
    taken: int
    duplicates: int
    rejected: int
    refused: int
    warning: str | None = None


class Bridge:
    """Owns the thread "eventbus-broker" and its event loop, on which the broker's client runs.

    Events that match ``send`` go out by the durable subscription "broker-relay", of which a bus has
    one; what the broker has for ``take`` comes in. Any thread may call ``status``, ``troubles``
    and ``close``; as a context manager it starts and closes.
    """

    def __init__(
        self,
        bus: EventBus,
        broker: Broker,
        *,
        send: Sequence[Pattern] = (_ALL,),
        take: Sequence[Pattern] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """``take`` are the patterns that ``broker`` receives by; nothing goes out without ``send``.

        ``max_event_bytes`` bounds the payload of an event that comes in.
        """
        self._bus = bus
        self._broker = broker
        self._send = tuple(send)
        self._take = tuple(take)
        self._max_bytes = max_event_bytes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="eventbus-broker", daemon=True)
        self._relay: Relay | None = None
        self._intake: Intake | None = None
        self._main: asyncio.Task[None] | None = None
        self._is_closing = False
        self._state: State = "connecting"
        self._is_denied = False  # it is there, and away only for this login
        self._since = datetime.now(UTC)
        self._reason: str | None = None
        self._has_link = threading.Event()
        self._link: Link | None = None  # while it is used
        self._warned: Trouble | None = None
        self._waiting = 0
        self._counted_at = 0.0

    @classmethod
    def to(
        cls,
        bus: EventBus,
        address: BrokerAddress | str,
        *,
        name: str,
        send: str | Pattern | Iterable[str | Pattern] = (),
        take: str | Pattern | Iterable[str | Pattern] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> Self:
        """A bridge to the broker at ``address``; ``name`` is the queue or consumer group.

        The queue is bound by the patterns ``take``; events of ``bus.*`` go neither way. From here
        on ``name`` is in the ids of what the bus's handlers publish, so this is called before any
        subscribes: what another bus makes of the same event is another event. Raises PatternError,
        BrokerAddressError, MissingPackageError.
        """
        sent, taken = _patterns("send", send), _patterns("take", take)
        broker = open_broker(address, name=name, take=taken)
        bus.log.bus_name = name
        return cls(bus, broker, send=sent, take=taken, max_event_bytes=max_event_bytes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def start(self) -> None:
        """Subscribe the relay and begin to connect; returns at once.

        Blocks for a commit. Raises SubscriptionError, LogWriteError, NoThreadError.
        """
        relay_id = None
        if self._send:
            self._relay = Relay(self._send, self._loop, self._away, self._connected)
            self._bus.subscribe(
                self._send[0] if len(self._send) == 1 else _ALL,
                self._relay,
                name=RELAY_NAME,
                key=by_event,
                concurrency=MOST_AT_ONCE,
                timeout=_NO_TIMEOUT_S,
                together=True,  # it waits for months, and cannot be asked to end
            )
            relay_id = next(s.id for s in self._bus.log.subscribers() if s.name == RELAY_NAME)
        if self._take:
            has_sent = self._relay.has_sent if self._relay else lambda _: False
            self._intake = Intake(self._bus, self._take, self._max_bytes, relay_id, has_sent)
        self._bus.watchdog.sources.append(self.troubles)
        start_thread(self._thread)

    def close(self, timeout_s: float = _STOP_S) -> None:
        """End the connection; what is not sent, or not acknowledged, comes again after a start.

        Blocks up to ``timeout_s`` for what is on its way; the rest ends by itself.
        """
        if self._is_closing or not self._thread.is_alive():
            return
        self._is_closing = True
        self._bus.watchdog.sources.remove(self.troubles)
        if self._relay is not None:
            dispatcher = self._bus.dispatcher
            call_soon(dispatcher.loop, dispatcher.set_concurrency, RELAY_NAME, 0)
        call_soon(self._loop, self._stop, min(_LAST_CONFIRMS_S, timeout_s / 2))
        self._thread.join(timeout_s)
        if self._relay is not None:
            call_soon(self._bus.dispatcher.loop, self._relay.end)

    def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Block until the broker is connected, and what comes for ``take`` is kept for this bus.

        Returns whether it is, after ``timeout_s`` at the latest.
        """
        return self._has_link.wait(timeout_s)

    def status(self) -> BridgeStatus:
        relay, intake = self._relay, self._intake
        return BridgeStatus(
            self._broker.name, self._broker.shown, self._state, self._since, self._reason,
            self._waiting if self._state == "away" else 0,
            relay.sent_count if relay else 0,
            intake.taken_count if intake else 0,
            intake.duplicate_count if intake else 0,
            intake.rejected_count if intake else 0,
            relay.refused_count if relay else 0,
            self._warning(),
        )  # fmt: skip

    def _warning(self) -> str | None:
        link = self._link
        return link.warning if link is not None and self._state == "connected" else None

    def troubles(self) -> list[Trouble]:
        """That the broker is away, and what waits for it; or what is amiss with it."""
        warning = self._warning()
        if warning is not None:
            detail = f"the broker {self._broker.shown}: {warning}"
            warned = self._warned
            if warned is None or warned.detail != detail:
                self._warned = warned = Trouble("broker", detail, datetime.now(UTC), "warning")
            return [warned]
        if self._state != "away":
            return []
        waits = ""
        if self._relay is not None:
            count = self._waiting
            waits = f"; {count:,} event{'' if count == 1 else 's'} wait to be sent"
        detail = f"the broker {self._broker.shown} {self._how_away}: {self._reason}{waits}"
        return [Trouble("broker", detail, self._since, "warning")]

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._main = self._loop.create_task(self._serve())
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        except Exception:
            logger.exception("the thread eventbus-broker has ended")
            self._away("its thread has ended: restart")
        finally:
            self._loop.close()

    def _stop(self, patience_s: float) -> None:
        async def stop() -> None:
            deadline = time.monotonic() + patience_s
            while self._state == "connected" and time.monotonic() < deadline:
                if self._relay is None or self._relay.is_idle:
                    break
                await asyncio.sleep(0.01)
            if self._main is not None:
                self._main.cancel()

        self._stopping = self._loop.create_task(stop())

    async def _serve(self) -> None:
        counting = self._loop.create_task(self._count())
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._is_closing:
                began = time.monotonic()
                try:
                    link = self._link = await self._broker.connect()
                    self._connected()
                    await self._work(link)
                except BrokerAwayError as error:
                    if is_process_ending():
                        return  # nobody has closed the bridge, and nobody is to be told
                    self._away(str(error), isinstance(error, BrokerDeniedError))
                except BusClosedError:
                    return
                except Exception as error:
                    if is_process_ending():
                        return
                    logger.exception("the connection to the broker has failed")
                    self._away(f"{type(error).__name__}: {error}")
                if time.monotonic() - began > _GOOD_S:
                    pause_s = _FIRST_PAUSE_S
                await asyncio.sleep(pause_s * random.uniform(0.75, 1.0))
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
        finally:
            counting.cancel()

    async def _work(self, link: Link) -> None:
        """Relay and take in until either finds the link lost."""
        works = [
            self._loop.create_task(part.run(link))
            for part in (self._relay, self._intake)
            if part is not None
        ]
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in works:
                task.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            self._link = None
            await link.close()

    # -- how it does -------------------------------------------------------------------------

    def _away(self, reason: str, is_denied: bool = False) -> None:
        self._reason, self._is_denied = reason, is_denied
        if self._state == "away":
            return
        self._counted_at = 0.0
        self._has_link.clear()
        self._state, self._since = "away", datetime.now(UTC)
        logger.warning("the broker %s %s: %s", self._broker.shown, self._how_away, reason)

    @property
    def _how_away(self) -> str:
        return "refuses what is needed" if self._is_denied else "is away"

    def _connected(self) -> None:
        self._state, self._since, self._reason = "connected", datetime.now(UTC), None
        self._has_link.set()
        logger.info("connected to the broker %s", self._broker.shown)

    async def _count(self) -> None:
        """While the broker is away: how many events wait for it."""
        while True:
            is_due = time.monotonic() - self._counted_at >= _COUNT_EVERY_S
            if self._state == "away" and self._relay is not None and is_due:
                with contextlib.suppress(EventBusError):
                    self._waiting = await asyncio.to_thread(self._lag)
                self._counted_at = time.monotonic()
            await asyncio.sleep(0.1)

    def _lag(self) -> int:
        counts = self._bus.log.delivery_reader.counts_by_subscription()
        stored = self._bus.log.subscribers()
        return sum(counts.get(s.id, {}).get("pending", 0) for s in stored if s.name == RELAY_NAME)


def _patterns(option: str, given: str | Pattern | Iterable[str | Pattern]) -> tuple[Pattern, ...]:
    if isinstance(given, str | Pattern):
        given = [given]
    found = tuple(each if isinstance(each, Pattern) else Pattern(each) for each in given)
    for pattern in found:
        if pattern.text.partition(".")[0] == _OWN_FAMILY:
            raise PatternError(
                f"{option}={pattern.text!r} is only what the bus says about itself, "
                "which goes to no broker and comes from none"
            )
    return found
