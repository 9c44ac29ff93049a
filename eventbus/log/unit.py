"""A unit: what becomes durable together or not at all, and who waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from eventbus.event import Event
from eventbus.log.values import AttemptOutcome, DeliveryState

_NONE: frozenset[int] = frozenset()

Apply = Callable[[Connection, list[Any]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt of a delivery failed; times in microseconds since the epoch."""

    sequence: int
    subscription: int
    state: DeliveryState
    attempt: int
    started_us: int
    finished_us: int
    due_us: int | None = None
    kind: AttemptOutcome = "failed"
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None


Success = tuple[int, int, int, int]
"""A delivery that succeeded: finished (µs since the epoch), duration in µs, sequence,
subscription; in the order in which the writer's statement takes them."""


class Unit:
    """Events to record, deliveries' outcomes, state changes: any of them, in one transaction.

    ``events`` are replaced by the recorded ones when ``is_done``; ``duplicates`` holds the
    positions of those that had been recorded before. ``error`` is why nothing of it happened.
    """

    __slots__ = (
        "baton", "call", "chars", "duplicates", "effects", "error", "events", "is_done", "outcome",
        "owns_events", "span", "successes", "token", "topic", "waiters", "without",
    )  # fmt: skip

    def __init__(
        self,
        events: Sequence[Event] = (),
        *,
        outcome: Outcome | None = None,
        successes: Sequence[Success] = (),
        effects: Sequence[tuple[Apply, Any]] = (),
        call: Callable[[Connection], None] | None = None,
        token: Any = None,
        owns_events: bool = False,
        without: int | None = None,
        topic: str | None = None,
    ) -> None:
        """``outcome`` is of a delivery that failed, ``successes`` of those that did not.

        ``call`` runs first in the transaction, under the commit lock, and may set ``events``.
        ``token`` marks a unit of the dispatcher's, which gets it back after the commit. With
        ``owns_events`` the events were made for it alone, so that they themselves can be given
        their sequences. ``without`` is a subscription that gets none of them: they come from where
        it would send them. ``topic`` tells other processes of the log what has changed.
        """
        self.events = list(events)
        self.owns_events = owns_events
        self.without = without
        self.topic = topic
        self.chars = sum([len(event.data_json) for event in events])
        self.outcome = outcome
        self.successes = successes
        self.effects = effects
        self.call = call
        self.token = token
        self.duplicates: Set[int] = _NONE
        self.error: Exception | None = None
        self.is_done = False
        self.span: Any = None  # of the publication, while somebody traces it
        self.baton: threading.Lock | None = None  # of a thread that waits for it
        self.waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def has_only_successes(self) -> bool:
        """Whether all of it is that deliveries without effects succeeded."""
        return bool(self.successes) and not (
            self.events or self.effects or self.outcome or self.call
        )

    def attempt_time(self, now_us: int) -> tuple[int, int]:
        """When the attempt began whose outcome or effects this has, and for how long it ran."""
        if self.outcome is not None:
            return self.outcome.started_us, self.outcome.finished_us - self.outcome.started_us
        for finished_us, duration_us, _, _ in self.successes:
            return finished_us - duration_us, duration_us
        return now_us, 0
