"""When the disk or the limit is reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from eventbus import EventBus
from eventbus.retention.forecast import measure

DAY = timedelta(days=1)


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus.open("sqlite://") as bus:
        yield bus


def test_a_log_that_has_just_begun_says_nothing_about_days(bus: EventBus) -> None:
    bus.publish("a.b").wait()
    found = measure(bus.log, 0)
    assert (found.events, found.growth_bytes, found.full_at) == (1, None, None)
    assert found.oldest_sequence == 1 and found.disk_free_bytes > 0


def test_the_limit_is_forecast_from_what_the_last_day_added(bus: EventBus) -> None:
    empty = measure(bus.log, 0).used_bytes
    bus.publish_many([{"type": "a.b", "data": {"text": "x" * 1_000}} for _ in range(1_000)])
    now = datetime.now(UTC) + DAY / 2
    used = measure(bus.log, 0, now).used_bytes
    added = 2 * (used - empty)
    found = measure(bus.log, used + added, now)
    assert found.growth_bytes == pytest.approx(added, rel=0.05)
    assert found.limit_at is not None
    assert (found.limit_at - now) / DAY == pytest.approx(1, rel=0.05)
    assert found.full_at is None  # the limit comes first
    without = measure(bus.log, 0, now)
    assert without.limit_at is None
    full = (without.disk_free_bytes + without.free_pages * 4096) / added
    assert without.full_at is None or (without.full_at - now) / DAY == pytest.approx(full, rel=0.1)


def test_what_an_empty_log_takes_is_no_growth(bus: EventBus) -> None:
    bus.publish("a.b").wait()
    minutes = DAY / timedelta(minutes=2)
    found = measure(bus.log, 0, datetime.now(UTC) + timedelta(minutes=2))
    assert found.growth_bytes is not None
    assert found.growth_bytes / minutes < 8 * found.page_bytes < found.used_bytes / 4


def test_a_log_that_stands_still_is_never_full(bus: EventBus) -> None:
    bus.publish("a.b").wait()
    found = measure(bus.log, 10**9, datetime.now(UTC) + 3 * DAY)
    assert (found.growth_bytes, found.limit_at, found.full_at) == (0, None, None)
