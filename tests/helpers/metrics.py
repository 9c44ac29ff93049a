"""Reading /metrics with the parsers that Prometheus' own client brings."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.helpers.api import Api

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def families(api: Api) -> dict[str, Metric]:
    """All families by name, as Prometheus reads its own text format."""
    answer = api.get("/metrics")
    assert answer.status == 200, answer.text
    return by_name(prometheus(answer.text))


def open_families(api: Api) -> dict[str, Metric]:
    """The same in OpenMetrics, whose parser is strict."""
    answer = api.request("GET", "/metrics", headers={"Accept": OPEN_METRICS})
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return by_name(open_metrics(answer.text))


def by_name(found: Iterable[Metric]) -> dict[str, Metric]:
    """Families by name; each may come once."""
    named: dict[str, Metric] = {}
    for family in found:
        assert family.name not in named, f"{family.name} comes twice"
        named[family.name] = family
    return named


def value(found: dict[str, Metric], sample: str, **labels: str) -> float:
    """The value of the one sample with exactly these labels."""
    values = [
        one.value
        for family in found.values()
        for one in family.samples
        if one.name == sample and one.labels == labels
    ]
    assert len(values) == 1, f"{sample}{labels}: {values}"
    return values[0]
