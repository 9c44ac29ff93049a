"""What was refused and what was let through against its schema, counted by type in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from eventbus import lens
from eventbus.errors import FieldError
from eventbus.event import Event

MOST_TYPES = 2_000
"""Of more, which somebody must have made up, only the sums are kept."""

_REST = "#"
_HIDDEN = "is not what the schema allows"


@dataclass(frozen=True, slots=True)
class LastViolation:
    """The newest one of a type; ``sequence`` is None when the event was refused."""

    at: datetime
    source: str
    sequence: int | None
    errors: Sequence[FieldError]


@dataclass(slots=True)
class TypeTally:
    """``refused`` events were not recorded, ``reported`` ones were, ``unchecked`` ones were
    recorded in a flood and nobody looked at them; ``undeclared`` counts warnings."""

    refused: int = 0
    reported: int = 0
    unchecked: int = 0
    undeclared: int = 0
    last: LastViolation | None = None

    @property
    def violations(self) -> int:
        return self.refused + self.reported


@dataclass(slots=True)
class Tally:
    """Since ``since``, the start of this process; any thread may add and read."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _types: dict[str, TypeTally] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def violation(self, event: Event, errors: Sequence[FieldError], *, is_refused: bool) -> None:
        """Count an event that its schema does not allow."""
        last = LastViolation(datetime.now(UTC), event.source, event.sequence, tuple(errors))
        with self._lock:
            own = self._own(event.type)
            own.last = last
            if is_refused:
                own.refused += 1
            else:
                own.reported += 1

    def undeclared(self, event: Event, *, is_refused: bool) -> int:
        """Count an event of a type that nobody has declared; how many there were of it."""
        with self._lock:
            own = self._own(event.type)
            own.undeclared += 1
            own.refused += is_refused
            return own.undeclared

    def unchecked(self, type: str) -> None:
        """Count an event that was recorded without a look at it."""
        with self._lock:
            self._own(type).unchecked += 1

    def of(self, type: str) -> TypeTally:
        """A copy of what is counted for a type; what is wrong quotes values, and may be hidden."""
        with self._lock:
            own = self._types.get(type) or TypeTally()
            last = own.last
        if last is not None and (lens.hides(type) or (type == _REST and lens.lens() is not None)):
            last = replace(last, errors=tuple(replace(e, detail=_HIDDEN) for e in last.errors))
        return TypeTally(own.refused, own.reported, own.unchecked, own.undeclared, last)

    def types(self) -> list[str]:
        """The types of which anything is counted."""
        with self._lock:
            return list(self._types)

    def _own(self, type: str) -> TypeTally:
        own = self._types.get(type)
        if own is None:
            key = type if len(self._types) < MOST_TYPES else _REST
            own = self._types.setdefault(key, TypeTally())
        return own
