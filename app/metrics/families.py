"""Shorthand for metric families, and the bound on what labels may come from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from eventbus.buckets import Counted

REST = "(other)"
"""The label of all that are beyond a bound; no event type can be called so."""

Labels = tuple[str, ...]


def counter(
    name: str, help: str, values: Mapping[Labels, float], labels: Labels
) -> CounterMetricFamily:
    """A counter by label values; ``name`` without its ``_total``."""
    family = CounterMetricFamily(name, help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def gauge(
    name: str, help: str, values: Mapping[Labels, float], labels: Labels
) -> GaugeMetricFamily:
    """A gauge by label values."""
    family = GaugeMetricFamily(name, help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def histogram(
    name: str, help: str, values: Mapping[Labels, Counted], labels: Labels = (), unit: float = 1.0
) -> HistogramMetricFamily:
    """A histogram by label values; what was counted is ``unit`` of the metric's unit each."""
    family = HistogramMetricFamily(name, help, labels=labels)
    for key, counted in values.items():
        bounds = [_number(bound * unit) for bound in counted.bounds]
        buckets = [*zip(bounds, counted.cumulative, strict=True), ("+Inf", counted.count)]
        family.add_metric(key, buckets, counted.sum * unit)
    return family


def bounded(names: Iterable[str], most: int) -> dict[str, str]:
    """The label for each name: its own for the first ``most``, REST for all others.

    With names in an order that never changes, a name keeps the label that it has.
    """
    return {name: name if number < most else REST for number, name in enumerate(names)}


def _number(value: float) -> str:
    return repr(float(f"{value:.6g}"))
