"""The steps of operations that publish: each records some events and counts itself with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventbus.catalogue.catalogue import accept
from eventbus.event import DEFAULT_SOURCE, Event
from eventbus.log import operations as stored
from eventbus.log.unit import Unit
from eventbus.log.values import Operation
from eventbus.operation_steps import at_once
from eventbus.scheduled import read_events
from eventbus.validation import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from eventbus.bus import EventBus


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what an operation selected: the ``events`` that deal with it, as for
    ``publish_many``, ``skipped`` for which there are none, and the ``position`` up to which
    all is dealt with then.
    """

    events: Sequence[Event | Mapping[str, Any]]
    position: int
    skipped: int = 0


NextPart = Callable[[Operation, int, int], Part | None]
"""What comes next in an operation, after a position, of so many at most; None at the end."""


class PublishingSteps:
    """Publishes part by part, at the operation's rate."""

    def __init__(
        self, bus: EventBus, operation: Operation, next_part: NextPart, position: int
    ) -> None:
        self._bus = bus
        self._operation = operation
        self._next_part = next_part
        self._position = position

    def step(self) -> float | None:
        rate = self._operation.rate
        part = self._next_part(self._operation, self._position, at_once(rate))
        if part is None:
            return None
        catalogue = self._bus.catalogue
        unit = Unit(read_events(
            part.events, source=DEFAULT_SOURCE, max_bytes=MAX_EVENT_BYTES, now=self._bus.now,
            check=accept if catalogue is None else catalogue.check,
        ))  # fmt: skip

        def count(conn: Any, _: object) -> None:
            # After the events: what somebody else has published meanwhile is not done again.
            again = len(unit.duplicates)
            done, skipped = len(unit.events) - again, part.skipped + again
            stored.advance(conn, self._operation.id, done, skipped, part.position)

        unit.effects = [(count, None)]
        self._bus.log.commit(unit)
        self._position = part.position
        return 0.0 if rate is None else len(part.events) / rate
