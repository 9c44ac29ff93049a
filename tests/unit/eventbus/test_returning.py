"""What comes back reaches its lane once, whatever the lane is reading at that moment."""

from __future__ import annotations

import pytest

from eventbus import Event, Pattern
from eventbus.lane import Lane
from eventbus.log.deliveries import Unfinished
from eventbus.returning import Returns
from eventbus.subscription import RetryPolicy, Subscription, by_subject

ID = 7


@pytest.fixture
def lane() -> Lane:
    subscription = Subscription(
        "mine", Pattern("a"), print, True, False, False, RetryPolicy(), 16, by_subject
    )
    return Lane(subscription, ID)


@pytest.fixture
def returns(lane: Lane) -> Returns:
    return Returns(lambda id: lane if id == ID else None, lambda lane: None)


def pending(*sequences: int) -> list[Unfinished]:
    return [
        Unfinished(Event.create("a", subject=f"s{n}").copy(n), attempt=0, due_us=None)
        for n in sequences
    ]


def ready(lane: Lane) -> list[int | None]:
    return [job.event.sequence for job in lane.ready]


def load(lane: Lane, returns: Returns, page: list[Unfinished], position: int) -> None:
    lane.take_page(returns.without(lane, page), position, True)
    lane.is_loading = False


def test_a_page_read_before_the_hand_over_does_not_give_it_twice(
    lane: Lane, returns: Returns
) -> None:
    lane.is_behind = lane.is_loading = True
    returns.expect(ID, [3])
    load(lane, returns, pending(2, 3), 9)  # read after the commit, before the hand-over
    returns.hand(ID, pending(3), [3])
    assert ready(lane) == [2, 3]


def test_a_page_that_lies_behind_it_does_not_lose_it(lane: Lane, returns: Returns) -> None:
    lane.is_behind = lane.is_loading = True
    returns.expect(ID, [3])
    load(lane, returns, pending(2), 9)  # read before the commit
    returns.hand(ID, pending(3), [3])
    assert ready(lane) == [2, 3]
    assert lane.position == 9


def test_a_lane_that_is_behind_does_not_meet_it_again(lane: Lane, returns: Returns) -> None:
    lane.is_behind = lane.is_loading = True
    returns.expect(ID, [5])
    returns.hand(ID, pending(5), [5])
    assert lane.position == 0
    load(lane, returns, pending(4, 5, 6), 6)
    assert ready(lane) == [5, 4, 6]


def test_a_page_from_when_it_was_pending_is_too_late_once_it_is_done(
    lane: Lane, returns: Returns
) -> None:
    returns.expect(ID, [5])
    returns.hand(ID, pending(5), [5])
    lane.is_behind = lane.is_loading = True  # the page is read here
    lane.release(lane.ready.popleft())
    returns.finished(lane, 5)
    load(lane, returns, pending(5, 6), 6)
    assert ready(lane) == [6]
    assert returns.without(lane, pending(5)) != []  # nothing is remembered for ever


def test_what_did_not_become_pending_is_not_handed_over(lane: Lane, returns: Returns) -> None:
    returns.expect(ID, [1, 2, 3])
    returns.hand(ID, pending(2), [1, 2, 3])
    assert ready(lane) == [2]
    returns.expect(ID, [1])
    returns.forget(ID, [1])
    load(lane, returns, pending(1), 9)
    assert ready(lane) == [2, 1]


def test_a_slow_subscription_has_little_room_and_a_stuck_one_none(
    lane: Lane, returns: Returns
) -> None:
    assert returns.room(99) is None
    lane.durations_ms.extend([1_000.0] * 100)
    assert returns.room(ID) == 16
    returns.hand(ID, pending(*range(1, 17)), [])
    assert returns.room(ID) == 0
    lane.durations_ms.extend([1.0] * 100)
    assert returns.room(ID) == 500 - 16
    lane.retrying = 5_000
    assert returns.room(ID) == 0
