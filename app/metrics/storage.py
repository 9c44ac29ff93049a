"""Metrics of the storage: how large the files are, and how much room is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric

from app.metrics.families import gauge
from eventbus.log.space import disk_bytes, file_bytes, pages
from eventbus.trouble import PARTS

if TYPE_CHECKING:
    from app.runtime import Runtime


def collect(parts: Runtime) -> Iterator[Metric]:
    """From the file system and the head of the database."""
    log = parts.bus.log
    path = log.path
    with log.reading() as conn:
        used = pages(conn)
    if log.storage.is_on_server:  # whose write-ahead log is not of one database
        taken = used.bytes
    else:
        taken = file_bytes(path)
        yield GaugeMetricFamily(
            "eventbus_wal_size_bytes", "The size of the write-ahead log.",
            file_bytes(path.with_name(path.name + "-wal")),
        )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_database_size_bytes", "The size of the database's file or tables.", taken
    )
    yield GaugeMetricFamily(
        "eventbus_database_free_bytes", "Room inside the database that holds nothing.",
        used.free * used.size,
    )  # fmt: skip
    index = parts.index.state()
    yield GaugeMetricFamily(
        "eventbus_search_index_size_bytes", "The size of the index of the history.",
        index.size_bytes,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "eventbus_search_index_lag_events", "Positions of the log that are not in the index yet.",
        index.behind_count,
    )  # fmt: skip
    free, total = disk_bytes(path)
    yield GaugeMetricFamily(
        "eventbus_disk_free_bytes",
        "Room on the database's file system for this user.",
        free,
    )
    yield GaugeMetricFamily(
        "eventbus_disk_size_bytes", "The size of the database's file system.", total
    )
    troubles = dict.fromkeys(((part,) for part in PARTS), 0.0)
    for trouble in parts.bus.troubles():
        troubles[(trouble.part,)] = 1.0
    yield gauge(
        "eventbus_trouble", "Whether something is wrong now, by what it is about.",
        troubles, ("part",),
    )  # fmt: skip
