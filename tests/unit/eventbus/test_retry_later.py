"""A handler says when its event is to be tried again, here or in another process."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from eventbus import Event, RetryPolicy
from eventbus.client.consumer import _failure
from eventbus.consumers.frames import Answer, parse
from eventbus.errors import RemoteHandlerError, RemoteRejectError, RetryLaterError
from eventbus.failures import describe
from tests.helpers.bus import LONG_S, open_bus

POLICY = RetryPolicy(max_attempts=2, base_delay_s=0.01, max_delay_s=90.0)


class AsksForNothing(RetryLaterError):
    def __init__(self) -> None:
        """Without the base's."""


class AsksForText(RetryLaterError):
    def __init__(self) -> None:
        self.retry_after_s = "60"  # type: ignore[assignment]


@pytest.mark.parametrize("error", [
    AsksForNothing, AsksForText, lambda: RetryLaterError("busy", math.nan),
    lambda: RetryLaterError("busy", -math.inf), lambda: RetryLaterError("busy", "60"),
])  # fmt: skip
def test_an_odd_time_to_try_again_is_as_if_none_was_given(
    url: str, error: Callable[[], Exception]
) -> None:
    def handle(event: Event) -> None:
        raise error()

    with open_bus(url, retry=POLICY) as bus:
        bus.subscribe("a", handle, name="mine")
        (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert [attempt.outcome for attempt in delivery.attempts] == ["failed", "failed"]


def test_a_time_to_try_again_that_is_no_number_is_told() -> None:
    with pytest.raises(TypeError, match="retry_after_s must be a number of seconds, not '60'"):
        RetryLaterError("busy", "60")  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked_s", "least_s"), [(60, 60), (1e12, 90.0), (math.inf, 90.0), (0, 0)])
def test_the_next_attempt_comes_so_late_within_the_longest_wait(
    asked_s: float, least_s: float
) -> None:
    delay_s = POLICY.delay_after_s(1, RetryLaterError("busy", asked_s))
    assert least_s <= delay_s <= least_s + 0.0125


@pytest.mark.parametrize(("asked_s", "told_s"), [(60, 60.0), (0.25, 0.25), (-3, 0.0), (1e12, 1e12)])
def test_what_a_handler_in_another_process_asks_for_comes_to_the_bus(
    asked_s: float, told_s: float
) -> None:
    answer = parse(f'{{"nack":7{_failure(RetryLaterError("busy", asked_s))}}}', "/x", 1000)
    assert isinstance(answer, Answer)
    assert isinstance(answer.error, RetryLaterError)
    assert answer.error.retry_after_s == told_s
    assert describe(answer.error)[:2] == ("RetryLaterError", "busy")


@pytest.mark.parametrize("error", [AsksForNothing(), RetryLaterError("busy", math.nan), OSError()])
def test_a_failure_that_asks_for_no_time_is_a_plain_one(error: Exception) -> None:
    answer = parse(f'{{"nack":7{_failure(error)}}}', "/x", 1000)
    assert isinstance(answer, Answer)
    assert type(answer.error) is RemoteHandlerError


def test_who_rejects_is_not_asked_again_whatever_stands_beside_it() -> None:
    answer = parse('{"nack":7,"error":{},"reject":true,"retry_after":5}', "/x", 1000)
    assert isinstance(answer, Answer)
    assert type(answer.error) is RemoteRejectError
