"""What each attempt of an evaluation caused, and what else was told of it meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.pages.attempts import AttemptSpan
from app.pages.chain import Node, chain_of
from eventbus import Event, EventBus
from eventbus.log import EventQuery

MOST_OPEN = 20
_MOST_COUNTED = 500


@dataclass(frozen=True, slots=True)
class Caused:
    """The chains of an attempt's own events, and the numbers in them.

    ``told`` are the other events of the same evaluation while the attempt was the newest, by
    type; with ``is_more`` those are the first ones only.
    """

    chains: Sequence[Node]
    alerts: int
    retries: int
    slowest_ms: float | None
    told: Sequence[tuple[str, int]]
    is_more: bool


def caused_by(
    bus: EventBus, spans: Sequence[AttemptSpan], index: int, upto: int | None = None
) -> Caused:
    """What ``spans[index]`` caused, by the position ``upto`` when given; some ten small queries."""
    span = spans[index]
    # The wish for this attempt is what the failure before it caused.
    own = [event for event in span.events if not event.type.startswith("evaluation.retry")]
    roots = [node for event in own for node in chain_of(bus, event, True, upto).roots]
    every = [node for root in roots for node in (root, *_below(root))]
    told, is_more = _told(bus, spans, index, upto)
    shown = {node.event.sequence for node in every}
    shown.update(event.sequence for each in spans for event in each.events)
    counted = Counter(event.type for event in told if event.sequence not in shown)
    # How long a scheduled retry waits was decided, it is nobody's slowness.
    latencies = [
        node.latency_ms
        for node in every
        if node.latency_ms is not None and node.event.type != "evaluation.retry"
    ]
    return Caused(
        chains=roots,
        alerts=sum(node.event.family == "alert" for node in every),
        retries=sum(node.event.type == "evaluation.retry" for node in every),
        slowest_ms=max(latencies, default=None),
        told=counted.most_common(),
        is_more=is_more,
    )


def _told(
    bus: EventBus, spans: Sequence[AttemptSpan], index: int, upto: int | None
) -> tuple[list[Event], bool]:
    firsts = [_first(span) for span in spans]
    first = firsts[index]
    if first is None:
        return [], False
    later = [each for each in firsts if each is not None and each > first]
    if upto is not None:
        later.append(upto + 1)
    page = bus.log.query(
        EventQuery(
            subject=spans[index].events[0].subject,
            after=first - 1,
            before=min(later) if later else None,
            order="asc",
            limit=_MOST_COUNTED,
        )
    )
    return page.events, page.next is not None


def _first(span: AttemptSpan) -> int | None:
    """Where the attempt begins in the log: its own first event, not the wish for it."""
    own = [event.sequence for event in span.events if not event.type.startswith("evaluation.retry")]
    return min((sequence for sequence in own if sequence is not None), default=None)


def _below(node: Node) -> list[Node]:
    found: list[Node] = []
    for child in node.children:
        found += [child, *_below(child)]
    return found
