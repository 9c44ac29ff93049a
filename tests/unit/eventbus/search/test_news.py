"""How many events of a filter have come since a position: counted on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventbus import EventBus, Pattern
from eventbus.log import EventQuery, news
from eventbus.log.news import count_news


@pytest.fixture
def shop(bus: EventBus) -> Iterator[EventBus]:
    """A bus whose first position has an event that nobody counts."""
    bus.publish("shop.opened", {}, subject="shop")
    yield bus


def sell(bus: EventBus, count: int) -> None:
    for n in range(count):
        type = "shop.sold" if n % 3 else "shop.lost"
        bus.publish(type, {"word": f"word{n % 2}"}, subject=f"s{n % 5}")


def follow(bus: EventBus, most: int = 1_000, **conditions: Any) -> list[int]:
    """The counts from position 1 on, until there are no more."""
    counts, position, is_all = [], 1, False
    while not is_all:
        found = count_news(bus.log, EventQuery(**conditions), position, most)
        counts.append(found.count)
        assert found.position >= position
        position, is_all = found.position, found.is_all
    assert position == bus.log.last_sequence
    return counts


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({}, 30),
        ({"pattern": Pattern("shop.lost")}, 10),
        ({"pattern": Pattern("shop.*"), "subject": "s1"}, 6),
        ({"text": "word1"}, 15),
        ({"text": "word1", "pattern": Pattern("shop.sold")}, 10),
        ({"pattern": Pattern("never.seen")}, 0),
    ],
)
def test_what_came_is_counted_by_the_filter(
    shop: EventBus, conditions: dict[str, Any], count: int
) -> None:
    sell(shop, 30)
    assert sum(follow(shop, **conditions)) == count


@pytest.mark.parametrize("conditions", [{}, {"text": "wor*"}])
def test_counting_goes_on_where_it_stopped(shop: EventBus, conditions: dict[str, Any]) -> None:
    sell(shop, 30)
    counts = follow(shop, most=4, **conditions)
    assert sum(counts) == 30
    assert max(counts) == 4


def test_where_no_index_leads_to_the_events_one_go_looks_at_only_so_many(
    shop: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_MOST_LOOKED_AT", 7)
    sell(shop, 30)
    since = shop.log.query(EventQuery(order="asc", limit=1)).events[0].time
    assert follow(shop, since=since, pattern=Pattern("shop.lost")) == [3, 2, 2, 3, 0]


def test_a_type_that_is_new_is_news(shop: EventBus) -> None:
    query = EventQuery(pattern=Pattern("market.*"))
    assert count_news(shop.log, query, 1, 10).count == 0
    shop.publish("market.opened", {})
    assert count_news(shop.log, query, 1, 10).count == 1
