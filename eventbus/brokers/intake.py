"""The intake: what comes from the broker is recorded, and acknowledged when that is durable."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable, Sequence

from eventbus.brokers.binding import decode
from eventbus.brokers.broker import Incoming, Link
from eventbus.bus import EventBus
from eventbus.catalogue.catalogue import accept
from eventbus.errors import EventValidationError, LogError
from eventbus.event import Event
from eventbus.log.unit import Unit
from eventbus.patterns import Pattern, PatternIndex
from eventbus.receipt import BatchReceipt

logger = logging.getLogger("eventbus.brokers")

REJECTED_TYPE = "bus.intake.rejected"
_MOST_BODY_BYTES = 48 * 1024  # of a rejected message, kept in the event that tells of it
_MOST_ERRORS = 5
_MOST_HEADERS, _MOST_HEADER_CHARS = 30, 200
_AGAIN_S = 1.0


class Intake:
    """``run`` lives on the broker's loop.

    Events keep their own source and id, so that one which comes twice is recorded once. What no
    event can be made of is recorded as ``bus.intake.rejected``, and acknowledged as well: it
    holds up nothing and is not lost. What the relay has sent itself is known already.
    """

    def __init__(
        self,
        bus: EventBus,
        patterns: Sequence[Pattern],
        max_bytes: int,
        relay_id: int | None,
        has_sent: Callable[[Event], bool],
    ) -> None:
        """``relay_id`` is the subscription that gets nothing of what comes in here."""
        self._bus = bus
        self._max_bytes = max_bytes
        self._relay_id = relay_id
        self._has_sent = has_sent
        self._check = accept if bus.catalogue is None else bus.catalogue.check
        self._wanted: PatternIndex[bool] = PatternIndex()
        for pattern in patterns:
            self._wanted.add(pattern, True)
        self.taken_count = 0
        self.duplicate_count = 0
        self.rejected_count = 0

    async def run(self, link: Link) -> None:
        """Record what comes for as long as the link lives. Raises BrokerAwayError."""
        while True:
            messages = await link.receive()
            await self._record([e for e in map(self._event, messages) if e is not None])
            await link.acknowledge(messages)

    def _event(self, message: Incoming) -> Event | None:
        """What is to be recorded of a message; None when that is nothing."""
        try:
            for name in message.wrong:
                raise EventValidationError.of(f"/{name}", "must be a text, not a table or array")
            event = decode(message, self._max_bytes)
            if event.family == "bus":
                raise EventValidationError.of("/type", "the types bus.* are this bus's own")
            self._check(event)
        except EventValidationError as error:
            return self._rejected(message, error)
        except Exception as error:  # whatever a message can make fail must not stop the others
            logger.exception("a message from %s could not be read", message.origin)
            return self._rejected(
                message, EventValidationError.of("", f"{type(error).__name__}: {error}")
            )
        if not self._wanted.match(event.type):
            return None  # a binding that was left from an earlier setting
        if self._has_sent(event):
            self.duplicate_count += 1
            return None
        return event

    async def _record(self, events: Sequence[Event]) -> None:
        """Make them durable, in one commit, however long it takes until the log can be written."""
        while events:
            unit = Unit(events, without=self._relay_id)
            if self._bus.log.tracing is not None:
                self._bus.log.tracing.publishing(unit)
            try:
                self._bus.log.submit_bounded(unit)
                receipt = BatchReceipt(self._bus, unit)
                await receipt
            except LogError as error:
                logger.warning("what came from the broker waits there: %s", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            duplicates = sum(receipt.duplicates)
            self.duplicate_count += duplicates
            self.taken_count += len(events) - duplicates
            return

    def _rejected(self, message: Incoming, error: EventValidationError) -> Event:
        self.rejected_count += 1
        most = min(_MOST_BODY_BYTES, self._max_bytes // 4)
        data = {
            "origin": message.origin,
            "reason": str(error)[:1_000],
            "errors": [
                {"pointer": e.pointer[:200], "detail": e.detail[:300]}
                for e in error.errors[:_MOST_ERRORS]
            ],
            "content_type": _plain(message.content_type),
            "attributes": {
                _plain(name): _plain(value)
                for name, value in list(message.attributes.items())[:_MOST_HEADERS]
            },
            "size_bytes": len(message.body),
            "body_base64": b64encode(message.body[:most]).decode(),
            "is_cut_off": len(message.body) > most,
        }
        logger.warning("a message from %s was rejected: %s", message.origin, error)
        id = f"rejected-{message.mark}"
        try:
            return Event.create(
                REJECTED_TYPE, data, source=message.origin, id=id, max_bytes=self._max_bytes
            )
        except EventValidationError:  # with the smallest limit for events there can be
            small = {"origin": message.origin, "reason": str(error)[:200], "is_cut_off": True}
            return Event.create(REJECTED_TYPE, small, source=message.origin, id=id)


def _plain(text: str) -> str:
    return text[:_MOST_HEADER_CHARS].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
