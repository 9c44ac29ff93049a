"""Times in the log: microseconds since the epoch, and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventbus.timestamps import from_microseconds, to_microseconds


@pytest.mark.parametrize("moment", [datetime.min, datetime(2026, 11, 24, 9, 30), datetime.max])
def test_every_date_comes_back_as_it_was(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    assert from_microseconds(to_microseconds(moment)) == moment


def test_what_lies_beyond_all_dates_is_the_nearest_one() -> None:
    assert from_microseconds(2**62) == datetime.max.replace(tzinfo=UTC)
    assert from_microseconds(-(2**62)) == datetime.min.replace(tzinfo=UTC)
