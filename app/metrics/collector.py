"""Everything that /metrics tells, read when it is asked for: the way of an event pays nothing."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from app.metrics import deliveries, evaluations, live, log, storage
from app.metrics.families import counter, histogram
from app.metrics.requests import RequestCounts
from eventbus.errors import EventBusError
from eventbus.log.space import SQLITE_VERSION

if TYPE_CHECKING:
    from app.runtime import Runtime

logger = logging.getLogger(__name__)

_PARTS: tuple[tuple[str, Callable[[Runtime], Iterable[Metric]]], ...] = (
    ("log", log.collect),
    ("deliveries", deliveries.collect),
    ("storage", storage.collect),
    ("live", live.collect),
    ("evaluations", evaluations.collect),
)


class EventBusCollector(Collector):
    """Asks the parts of a running server; any thread may collect.

    A part that cannot be read, because the disk fails, is left out and said to have failed: what
    the others know is wanted most just then.
    """

    def __init__(self, parts: Callable[[], Runtime], requests: RequestCounts) -> None:
        self._parts = parts
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield _build_info()
        failed = GaugeMetricFamily(
            "eventbus_scrape_part_failed",
            "Whether a part of these metrics could not be read this time.",
            labels=("part",),
        )
        for name, read in _PARTS:
            families: list[Metric] = []
            try:
                families += read(self._parts())
                has_failed = False
            except EventBusError as error:
                logger.warning("the metrics of %s could not be read: %s", name, error)
                has_failed = True
            failed.add_metric((name,), float(has_failed))
            yield from families
        yield failed
        yield from self._answers()

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not start a bus."""
        return iter(())

    def _answers(self) -> Iterator[Metric]:
        yield counter(
            "eventbus_http_requests",
            "Requests answered since the start, but for WebSockets.",
            self._requests.answers(), ("method", "code"),
        )  # fmt: skip
        took = {(method,): counted for method, counted in self._requests.took().items()}
        yield histogram(
            "eventbus_http_request_duration_seconds",
            "How long requests took until the first byte of their answer.",
            took, ("method",), unit=1e-6,
        )  # fmt: skip


def _build_info() -> Metric:
    try:
        own = version("eventbus")
    except PackageNotFoundError:  # run from a checkout
        own = "unknown"
    return InfoMetricFamily(
        "eventbus_build",
        "What runs here.",
        {
            "version": own,
            "python": platform.python_version(),
            "sqlite": SQLITE_VERSION,
        },
    )
