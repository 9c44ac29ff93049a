"""Limits of requests."""

from __future__ import annotations

import pytest

from app.access import rate
from app.access.rate import MOST_KEYS, RateLimiter, RequestRate


def test_a_limit_is_read() -> None:
    assert RequestRate.parse("600/1m") == RequestRate(600, 60.0)
    assert RequestRate.parse("10 / 2 h") == RequestRate(10, 7200.0)


@pytest.mark.parametrize("text", ["600", "0/1m", "5/0s", "5/m", "-5/1m", "5/1d", "1.5/1s"])
def test_a_wrong_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        RequestRate.parse(text)


def test_each_has_a_bucket_that_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(rate.time, "monotonic", lambda: now[0])
    limiter = RateLimiter(RequestRate(3, 60.0))
    assert [limiter.take("ana") for _ in range(4)] == [0, 0, 0, 20]
    assert limiter.take("bob") == 0
    now[0] += 19.0
    assert limiter.take("ana") == 1
    now[0] += 1.0
    assert [limiter.take("ana"), limiter.take("ana")] == [0, 20]


def test_it_remembers_a_bounded_number() -> None:
    limiter = RateLimiter(RequestRate(1, 3600.0))
    for number in range(MOST_KEYS + 10):
        limiter.take(number)
    assert len(limiter._buckets) == MOST_KEYS
