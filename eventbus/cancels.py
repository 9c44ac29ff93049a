"""What a handler elsewhere takes back: scheduled events, in order with those that it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eventbus.event import Event


@dataclass(frozen=True, slots=True)
class Cancel:
    """What is taken back: the schedules under ``id``, of ``source`` or of all, in the name ``by``.

    In a handler it comes after so many of the handler's events: ``after``.
    """

    id: str
    source: str | None = None
    by: str | None = None
    after: int = 0

    def to_dict(self) -> dict[str, object]:
        """As the frame with a handler's success has it."""
        told = {"id": self.id, "source": self.source, "by": self.by, "after": self.after}
        return {name: value for name, value in told.items() if value is not None}


def in_order(
    events: Sequence[Event], cancels: Iterable[Cancel]
) -> Iterator[Sequence[Event] | Cancel]:
    """Each cancellation, and between them the events, at least one, that are published there."""
    done = 0
    for cancel in cancels:
        if some := events[done : cancel.after]:
            yield some
        done = cancel.after
        yield cancel
    if rest := events[done:]:
        yield rest
