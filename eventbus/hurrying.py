"""Hurrying: retries that a person does not want to wait for are begun now."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from eventbus.actor import signed
from eventbus.event import Event
from eventbus.log.unit import Unit
from eventbus.loop import refuse_on
from eventbus.operation_steps import ask_loop

if TYPE_CHECKING:
    from eventbus.bus import EventBus

MOST_NAMED = 100
"""Deliveries that an event about many names; all of them are counted."""


def hurry(
    bus: EventBus, deliveries: Iterable[tuple[int, str]], by: str, closing: threading.Event
) -> list[tuple[int, str]]:
    """As ``Operations.retry_now``; ``closing`` ends the wait for the bus's loop."""
    refuse_on(bus.dispatcher.loop, "operations.retry_now")
    wanted: dict[str, set[int]] = defaultdict(set)
    for sequence, name in deliveries:
        wanted[name].add(sequence)
    named = [{"sequence": s, "subscription": name} for name in wanted for s in wanted[name]]
    data = {**signed(by), "deliveries": named[:MOST_NAMED], "total": len(named)}
    subject = next(iter(wanted)) if len(wanted) == 1 else "retries"
    event = Event.create("bus.retry.requested", data, subject=subject, time=bus.now())
    bus.log.commit(Unit([event]))
    ids = {known.name: known.id for known in bus.log.subscribers()}
    dispatcher = bus.dispatcher

    def begin() -> list[tuple[int, str]]:
        return [
            (sequence, name)
            for name, sequences in wanted.items()
            if (lane := dispatcher.lane_of(ids.get(name, 0))) is not None
            for sequence in dispatcher.retries.now(lane, sequences)
        ]

    begun = ask_loop(dispatcher.loop, begin, closing)
    for name, sequences in wanted.items():
        begun += bus.serving.hurry_elsewhere(name, ids.get(name), sequences)
    return begun
