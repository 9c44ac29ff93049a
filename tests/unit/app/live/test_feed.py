"""The hub gets every event once and in order, whatever the listener had room for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.live import feed as feed_module
from app.live.feed import Feed
from eventbus import EventBus


@pytest.fixture
def bus() -> Iterator[EventBus]:
    with EventBus.open("sqlite://") as bus:
        yield bus


@pytest.fixture
def feed(bus: EventBus) -> Iterator[Feed]:
    feed = Feed(bus.log, lambda: None)
    feed.open()
    yield feed
    feed.close()


def publish(bus: EventBus, count: int) -> None:
    bus.publish_many([{"type": "a.b", "data": {"n": n}} for n in range(count)]).wait(10)


def take_all(feed: Feed) -> list[int]:
    """The sequences of everything that is new; each batch must reach its last event or further."""
    sequences: list[int] = []
    while (batch := feed.take()) is not None:
        assert all(event.sequence <= batch.position for event in batch.events)
        sequences += [event.sequence for event in batch.events]
    return sequences


def test_nothing_is_new_at_the_start(bus: EventBus) -> None:
    publish(bus, 3)
    feed = Feed(bus.log, lambda: None)
    feed.open()
    assert feed.position == 3
    assert feed.take() is None


def test_events_come_once_and_in_order(bus: EventBus, feed: Feed) -> None:
    publish(bus, 3)
    bus.publish("a.c").wait(5)
    assert take_all(feed) == [1, 2, 3, 4]
    publish(bus, 2)
    assert take_all(feed) == [5, 6]
    assert feed.take() is None


def test_news_are_told(bus: EventBus) -> None:
    told: list[int] = []
    feed = Feed(bus.log, lambda: told.append(1))
    feed.open()
    publish(bus, 2)
    assert told == [1]
    feed.close()
    publish(bus, 2)
    assert told == [1]


def test_what_the_list_has_no_room_for_is_read_from_the_log(
    bus: EventBus, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_MOST_EVENTS", 10)
    publish(bus, 7)
    publish(bus, 7)  # does not fit any more
    publish(bus, 700)
    publish(bus, 5)
    assert take_all(feed) == list(range(1, 720))
    publish(bus, 5)
    assert take_all(feed) == list(range(720, 725))


def test_payloads_are_bounded_too(
    bus: EventBus, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_MOST_CHARS", 1000)
    for _ in range(20):
        bus.publish("big", {"text": "x" * 100}).wait(5)
        assert feed._pending_chars <= 1000
    assert take_all(feed) == list(range(1, 21))


def test_an_event_heard_twice_is_taken_once(bus: EventBus, feed: Feed) -> None:
    publish(bus, 3)
    assert take_all(feed) == [1, 2, 3]
    feed.listen(bus.log.read(1).events)
    assert take_all(feed) == []


def test_an_event_that_was_not_heard_is_found_by_the_gap(bus: EventBus, feed: Feed) -> None:
    feed.close()
    publish(bus, 3)
    feed.listen(bus.log.read(2).events)
    assert take_all(feed) == [1, 2, 3]


def test_a_long_gap_comes_in_pages(bus: EventBus, feed: Feed) -> None:
    feed.close()
    publish(bus, 1000)
    feed.listen(bus.log.read(999).events)
    first = feed.take()
    assert first is not None
    assert len(first.events) == first.position == 256
    assert take_all(feed) == list(range(257, 1001))
