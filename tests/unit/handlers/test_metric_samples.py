"""What a metric is worth: the last recorded value plus what was added after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Event
from handlers.errors import MalformedEventError
from handlers.monitoring.samples import MetricRow, Sample, advance, read


def recorded(sequence: int, amount: float) -> Sample:
    return Sample("m", sequence, sequence, amount, is_increment=False)


def added(sequence: int, amount: float) -> Sample:
    return Sample("m", sequence, sequence, amount, is_increment=True)


def run(*samples: Sample) -> MetricRow:
    row: MetricRow | None = None
    seen: list[Sample] = []
    for sample in samples:
        late = sum(s.amount for s in seen if s.is_increment and s.sequence > sample.sequence)
        row = advance(row, sample, 0 if sample.is_increment else late)
        seen.append(sample)
    assert row is not None
    return row


def test_a_counter_is_the_sum_of_its_increments() -> None:
    row = run(added(1, 1), added(2, 1), added(3, -1))
    assert (row.kind, row.value) == ("counter", 1)


def test_recording_sets_the_value_and_increments_go_on_from_there() -> None:
    row = run(added(1, 5), recorded(2, 10), added(3, 1))
    assert (row.kind, row.value) == ("gauge", 11)
    assert run(added(1, 5), recorded(2, 10), added(3, 1), recorded(4, 2)).value == 2


samples = st.lists(st.tuples(st.booleans(), st.integers(-9, 9)), min_size=1, max_size=15)


@given(samples, st.randoms(use_true_random=False))
def test_the_value_does_not_depend_on_the_order_of_arrival(
    given_samples: list[tuple[bool, int]], random: Any
) -> None:
    ordered = [
        (added if is_increment else recorded)(sequence, amount)
        for sequence, (is_increment, amount) in enumerate(given_samples, 1)
    ]
    shuffled = list(ordered)
    random.shuffle(shuffled)
    one, other = run(*ordered), run(*shuffled)
    assert one.value == other.value
    assert (one.samples, one.last_sequence) == (other.samples, other.last_sequence)


def test_an_increment_without_an_amount_is_one() -> None:
    sample = read(Event.create("monitoring.metric.incremented", {"metric": "m"}))
    assert sample is not None and sample.amount == 1


def test_the_name_may_be_called_metric_or_name() -> None:
    for field in ("metric", "name"):
        sample = read(Event.create("monitoring.metric.recorded", {field: "m", "value": 1}))
        assert sample is not None and sample.metric == "m"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"metric": "m"}, "value"),
        ({"metric": "m", "value": "1"}, "value"),
        ({"metric": "m", "value": True}, "value"),
        ({"metric": "m", "value": 10**400}, "value"),
        ({"value": 1}, "metric"),
        ({"metric": {}, "value": 1}, "metric"),
    ],
)
def test_a_sample_that_is_none_is_refused(data: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedEventError, match=rf"data\.{field}"):
        read(Event.create("monitoring.metric.recorded", data))
