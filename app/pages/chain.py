"""A chain of events as the tree of what caused what, with what became of each at its handlers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.api.trace import tree
from eventbus import Event, EventBus
from eventbus.log.kin import deliveries_of as kin_deliveries
from eventbus.log.kin import kin
from eventbus.log.under_way import under_way_elsewhere
from eventbus.log.values import Delivery

MOST_EVENTS = 200
_HANDLER_SOURCE = "/handlers/"
_WAITING = frozenset({"pending", "running"})


@dataclass(slots=True)
class Node:
    """One event in the tree.

    ``latency_ms`` is the time since its cause, ``by`` the subscription that published it, both
    None for a first event.
    """

    event: Event
    latency_ms: float | None
    by: str | None
    deliveries: list[Delivery] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chain:
    """The trees of one correlation; ``is_truncated`` when it has more events than are shown.

    ``is_busy``: something waits to be handled right now. ``is_retrying``: something will be tried
    again later. ``is_dead``: something was given up. ``newest`` is the time of its last event.
    """

    roots: list[Node]
    count: int
    is_truncated: bool
    is_busy: bool
    is_retrying: bool
    is_dead: bool
    newest: datetime


def chain_of(
    bus: EventBus, event: Event, below_only: bool = False, upto: int | None = None
) -> Chain:
    """The chain that ``event`` belongs to; with ``below_only`` just it and what it caused.

    ``upto`` is a position of the past: what came later is left out, and so are the deliveries, of
    which the log does not tell how they stood then.
    """
    with bus.log.reading() as conn:
        trace = kin(conn, event.correlationid, MOST_EVENTS)
        events = [e for e in trace.events if upto is None or (e.sequence or 0) <= upto]
        if all(known.sequence != event.sequence for known in events):
            events = [*events, event]
        nodes = [_node(item) for item in tree(events)]
        if below_only:
            nodes = [node for node in _flat(nodes) if node.event.sequence == event.sequence]
        shown = _flat(nodes)
        told = [node.event.sequence or 0 for node in shown] if upto is None else []
        found = kin_deliveries(conn, told)
    running = _running(bus)
    states: set[str] = set()
    for node in shown:
        own = found.get(node.event.sequence or 0, [])
        node.deliveries = [_marked(delivery, running) for delivery in own]
        states.update(delivery.state for delivery in node.deliveries)
    return Chain(
        nodes,
        len(shown),
        trace.truncated,
        is_busy=not states.isdisjoint(_WAITING),
        is_retrying="retrying" in states,
        is_dead="dead" in states,
        newest=max((node.event.time for node in shown), default=event.time),
    )


def deliveries_of(bus: EventBus, event: Event) -> list[Delivery]:
    """The event's deliveries; one that a handler works on right now is marked running."""
    if event.sequence is None:
        return []
    running = _running(bus)
    return [_marked(delivery, running) for delivery in bus.log.deliveries(event.sequence)]


def _running(bus: EventBus) -> set[tuple[int, str]]:
    """Sequence and subscription of what is in a handler now, in whichever process."""
    here = {(job.sequence, job.subscription) for job in bus.running()}
    return here | under_way_elsewhere(bus.log)


def _marked(delivery: Delivery, running: set[tuple[int, str]]) -> Delivery:
    key = (delivery.sequence, delivery.subscription)
    # It may have ended since.
    is_running = delivery.state in ("pending", "retrying") and key in running
    return replace(delivery, state="running") if is_running else delivery


def _node(item: dict[str, Any]) -> Node:
    event: Event = item["event"]
    is_caused = event.causationid is not None and event.source.startswith(_HANDLER_SOURCE)
    by = event.source.removeprefix(_HANDLER_SOURCE) if is_caused else None
    return Node(event, item["latency_ms"], by, children=[_node(each) for each in item["children"]])


def _flat(nodes: Sequence[Node]) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        found.append(node)
        found += _flat(node.children)
    return found
