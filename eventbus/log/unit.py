"""A unit: what becomes durable together or not at all, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from eventbus.event import Event
from eventbus.log.values import AttemptOutcome, DeliveryState

Apply = Callable[[Connection, list[Any]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt of a delivery ended; times in microseconds since the epoch."""

    sequence: int
    subscription: int
    state: DeliveryState
    attempt: int
    started_us: int
    finished_us: int
    due_us: int | None = None
    kind: AttemptOutcome = "succeeded"
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None


class Unit:
    """Events to record, a delivery's outcome, state changes: any of them, in one transaction.

    ``events`` are replaced by the recorded ones when ``is_done``; ``duplicates`` holds the
    positions of those that had been recorded before. ``error`` is why nothing of it happened.
    """

    __slots__ = (
        "call", "duplicates", "effects", "error", "events", "is_done", "outcome",
        "token", "waiters",
    )  # fmt: skip

    def __init__(
        self,
        events: Sequence[Event] = (),
        *,
        outcome: Outcome | None = None,
        effects: Sequence[tuple[Apply, Any]] = (),
        call: Callable[[Connection], None] | None = None,
        token: Any = None,
    ) -> None:
        """``call`` runs first in the transaction, under the commit lock, and may set ``events``.
        ``token`` marks a unit of the dispatcher's, which gets it back after the commit.
        """
        self.events = list(events)
        self.outcome = outcome
        self.effects = effects
        self.call = call
        self.token = token
        self.duplicates: set[int] = set()
        self.error: Exception | None = None
        self.is_done = False
        self.waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
