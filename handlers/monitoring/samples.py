"""What a metric is worth, as a pure function: the last recorded value plus what was added since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from eventbus import Event
from eventbus.timestamps import to_microseconds
from handlers import payload

RECORDED = "monitoring.metric.recorded"
INCREMENTED = "monitoring.metric.incremented"

MetricKind = Literal["gauge", "counter"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One event about one metric: a value, or an amount to add when ``is_increment``.

    ``time`` is in microseconds since the epoch. ``crossed`` are the rules that the metric
    violates after it, one a line, found on the metric whose ``last_sequence`` was ``base`` (0: no
    row); both are None when no rule watches the metric. ``version`` is that of the rows then.
    """

    metric: str
    sequence: int
    time: int
    amount: float
    is_increment: bool
    unit: str | None = None
    eval_id: str | None = None
    crossed: str | None = None
    base: int | None = None
    version: int = 0


class MetricRow(NamedTuple):
    """The state of one metric: a row of its table, with the columns in their order.

    ``base`` is the value recorded by event ``base_sequence`` (0: none yet), ``added`` the sum of
    the increments after it, ``samples`` how many events there were; ``crossed`` is None when no
    rule watched the last of them.
    """

    name: str
    kind: MetricKind
    base: float = 0.0
    base_sequence: int = 0
    added: float = 0.0
    unit: str | None = None
    samples: int = 0
    updated_at: int = 0
    last_sequence: int = 0
    crossed: str | None = None

    @property
    def value(self) -> float:
        return self.base + self.added


def read(event: Event) -> Sample | None:
    """The sample of a recorded event, None for a type that is none.

    Raises MalformedEventError when no metric is named or its value is not a number.
    """
    if event.type == RECORDED:
        amount = payload.number(event, "value")
    elif event.type == INCREMENTED:
        amount = payload.number(event, "by") if "by" in event.data else 1.0
    else:
        return None
    return Sample(
        metric=payload.identifier(event, "metric", "name"),
        sequence=event.sequence or 0,
        time=to_microseconds(event.time),
        amount=amount,
        is_increment=event.type == INCREMENTED,
        unit=payload.label(event.data.get("unit"), 40),
        eval_id=payload.label(event.data.get("eval_id"), payload.MAX_IDENTIFIER_CHARS),
    )


def name_of(event: Event) -> str:
    """The metric's name, the event's subject when it has none that can be used."""
    data = event.data
    name = data.get("metric", data.get("name"))
    return event.subject if name is None else str(name)


def advance(row: MetricRow | None, sample: Sample, added_after: float = 0.0) -> MetricRow:
    """The metric after one sample.

    ``added_after`` is the sum of the increments that are known to come after a recorded value
    which itself comes late; samples of different events may arrive in any order.
    """
    if row is None:
        row = MetricRow(sample.metric, "counter" if sample.is_increment else "gauge")
    base, base_sequence, added = row.base, row.base_sequence, row.added
    if sample.sequence > base_sequence:
        if sample.is_increment:
            added += sample.amount
        else:
            base, base_sequence, added = sample.amount, sample.sequence, added_after
    is_newest = sample.sequence > row.last_sequence
    return row._replace(
        kind="gauge" if base_sequence else row.kind,
        base=base,
        base_sequence=base_sequence,
        added=added,
        unit=sample.unit if sample.unit and (is_newest or not row.unit) else row.unit,
        samples=row.samples + 1,
        updated_at=max(row.updated_at, sample.time),
        last_sequence=max(row.last_sequence, sample.sequence),
        crossed=sample.crossed,
    )
