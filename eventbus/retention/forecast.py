"""The room that the log takes and has left, and when that will be used up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eventbus.log import removals, space
from eventbus.log.baseline import baseline_path
from eventbus.log.eventlog import EventLog
from eventbus.timestamps import from_microseconds, to_microseconds

_DAY = timedelta(days=1)
# From a shorter time nothing is said about days.
_LEAST = timedelta(minutes=1)
_FARTHEST = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Space:
    """Sizes are bytes. ``growth_bytes`` is what a day adds, by the last day, before retention.

    ``path`` names the file, or the database on a server by its URL; there ``file_bytes`` is what
    the log's tables take, and nothing is known of the disk.

    ``limit_at`` is when the limit is reached by that, and ``full_at`` when the disk is full, None
    when that is not to be expected: then also when the limit comes first.
    """

    path: str
    file_bytes: int
    wal_bytes: int
    baseline_bytes: int
    used_bytes: int
    free_pages: int
    page_bytes: int
    disk_free_bytes: int | None
    limit_bytes: int
    events: int
    removed_events: int
    removed_payloads: int
    oldest_sequence: int | None
    oldest_at: datetime | None
    growth_bytes: int | None
    limit_at: datetime | None
    full_at: datetime | None


def measure(log: EventLog, limit_bytes: int, now: datetime | None = None) -> Space:
    """What there is now; a few look-ups, from any thread."""
    now = now or datetime.now(UTC)
    last = log.last_sequence
    with log.reading() as conn:
        pages = space.pages(conn)
        empty = space.empty_bytes(conn)
        oldest = space.oldest_recorded(conn)
        gone, emptied = removals.removed_counts(conn)
        start = max(now - _DAY, from_microseconds(oldest[1])) if oldest else now
        before = removals.recorded_before(conn, to_microseconds(start), last)
    count = max(0, last - gone)  # sequences have no holes but those of retention
    growth = None
    if count and now - start >= _LEAST:
        # Of a young log most is what it had from the beginning.
        each = max(0, pages.used_bytes - empty) / count
        growth = int((last - before) * each * (_DAY / (now - start)))
    is_on_server = log.storage.is_on_server
    free = None if is_on_server else space.disk_free_bytes(log.path)
    to_limit = limit_bytes - pages.used_bytes if limit_bytes else None
    to_full = None if free is None else free + pages.free * pages.size
    is_limit_first = to_full is None or (to_limit is not None and to_limit <= to_full)
    return Space(
        path=log.storage.name,
        file_bytes=pages.bytes if is_on_server else space.file_bytes(log.path),
        wal_bytes=space.file_bytes(log.path.with_name(log.path.name + "-wal")),
        baseline_bytes=space.file_bytes(baseline_path(log)),
        used_bytes=pages.used_bytes,
        free_pages=pages.free,
        page_bytes=pages.size,
        disk_free_bytes=free,
        limit_bytes=limit_bytes,
        events=count,
        removed_events=gone,
        removed_payloads=emptied,
        oldest_sequence=oldest[0] if oldest else None,
        oldest_at=from_microseconds(oldest[1]) if oldest else None,
        growth_bytes=growth,
        limit_at=None if to_limit is None else _when(now, to_limit, growth),
        full_at=None if to_full is None or is_limit_first else _when(now, to_full, growth),
    )


def _when(now: datetime, room: int, growth: int | None) -> datetime | None:
    """When so many bytes are used up."""
    if not growth:
        return None
    days = max(0, room) / growth
    return now + _DAY * days if days < _FARTHEST / _DAY else None
