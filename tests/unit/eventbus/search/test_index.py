"""The index of the history: it follows the log, forgets what the log forgets, and can be lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus, Pattern
from eventbus.log import EventLog, EventQuery, history, removals
from eventbus.log.removals import Candidate
from eventbus.log.search import Index, index_file, source
from eventbus.log.search import index as index_module
from eventbus.log.search.histogram import histogram
from tests.helpers.databases import fresh_url
from tests.helpers.waiting import wait_until

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@contextmanager
def indexed(log: EventLog) -> Iterator[Index]:
    """An index that has all of the log."""
    index = Index(log, quiet_s=0.0)
    index.start()
    try:
        wait_until(lambda: index.state().behind_count == 0, "the index has caught up")
        yield index
    finally:
        index.close()


def find(log: EventLog, text: str, **conditions: Any) -> list[int]:
    found: list[int] = []
    cursor: str | None = None
    while True:  # a page may end early, when it has taken long enough
        page = log.query(EventQuery(text=text, limit=1000, cursor=cursor, **conditions))
        found += [event["n"] for event in page.events]
        cursor = page.next
        if cursor is None:
            return found


def candidates(index: Index, word: str) -> list[int]:
    """What is in the index itself, whether the log still has it or not."""
    with index.viewing() as view:
        assert view is not None
        return view.candidates(0, word, 0, 1_000, "asc", 1_000)


def fill(bus: EventBus, count: int = 40) -> None:
    for n in range(1, count + 1):
        bus.publish(
            "shop.paid" if n % 2 else "shop.order.failed",
            {"n": n, "word": f"needle{n % 4}", "text": "line\nbreak"},
            subject=f"order-{n % 5}",
            time=START + timedelta(seconds=7 * n),
        )


def take_away(log: EventLog, what: Any, sequences: list[int]) -> None:
    chosen = [Candidate(sequence, "shop.paid", 1) for sequence in sequences]
    log.between_commits(
        lambda conn: removals.remove(conn, what, chosen),
        lambda: log.removed(sequences, len(sequences) if what == "event" else 0),
    )


def test_what_is_published_is_found_by_the_index_soon(bus: EventBus) -> None:
    fill(bus)
    with indexed(bus.log) as index:
        assert find(bus.log, "needle1")[:2] == [37, 33]
        assert find(bus.log, "break needle1", subject="order-3") == [33, 13]
        assert find(bus.log, "needle1", pattern=Pattern("*.failed")) == []
        assert find(bus.log, "order.failed") == list(range(40, 0, -2))
        bus.publish("shop.paid", {"n": 41, "word": "needle1"})
        assert find(bus.log, "needle1")[0] == 41, "what is not indexed yet is looked at"
        wait_until(lambda: index.state().behind_count == 0, "it is indexed")
        assert candidates(index, "needle1")[-1] == 41
    assert find(bus.log, "needle1")[0] == 41, "without an index it takes longer"


@pytest.mark.parametrize("what", ["payload", "event"])
def test_what_retention_removes_leaves_the_index(bus: EventBus, what: str) -> None:
    fill(bus)
    with indexed(bus.log) as index:
        take_away(bus.log, what, [1, 5])
        assert find(bus.log, "needle1")[-1] == 9, "it is not found for a moment longer"
        wait_until(lambda: candidates(index, "needle1")[0] == 9, "it is not in the index either")
        bars = histogram(bus.log, index, EventQuery(), 10, lambda type: False)
        assert bars is not None
        assert bars.total == (38 if what == "event" else 40)


def test_what_is_removed_while_nobody_watches_leaves_the_index_too(bus: EventBus) -> None:
    fill(bus)
    with indexed(bus.log):
        pass
    chosen = [Candidate(1, "shop.paid", 1)]
    bus.log.between_commits(lambda conn: removals.remove(conn, "payload", chosen))
    with indexed(bus.log) as index:
        wait_until(lambda: candidates(index, "needle1")[0] == 5, "it is not in the index")


def test_the_index_of_another_log_is_made_afresh(bus: EventBus, tmp_path: Path) -> None:
    fill(bus)
    with indexed(bus.log):
        pass
    with EventBus.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        other.publish("shop.paid", {"n": 1, "word": "other"})
        first, second = (
            log.path.with_name(log.path.name + index_file.SUFFIX) for log in (bus.log, other.log)
        )
        shutil.move(first, second)
        with indexed(other.log) as index:
            assert candidates(index, "needle1") == []
            assert candidates(index, "other") == [1]


def test_a_damaged_index_is_made_afresh(bus: EventBus) -> None:
    fill(bus)
    bus.log.path.with_name(bus.log.path.name + index_file.SUFFIX).write_bytes(b"not SQLite" * 999)
    with indexed(bus.log) as index:
        assert candidates(index, "needle1")[0] == 1


@pytest.mark.parametrize("by", ["correlation", "subject"])
def test_words_in_a_chain_are_found_in_one_page_however_old_it_is(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(history, "_STEP", 5)
    monkeypatch.setattr(history, "_MOST_SCANNED", 10)
    monkeypatch.setattr(history, "_MOST_S", 60.0)
    first = bus.publish("shop.paid", {"word": "needle"}, subject="old").event
    fill(bus)
    key = {"correlation": first.correlationid, "subject": "old"}[by]
    page = bus.log.query(EventQuery(text="needle", **{by: key}))
    assert [event.id for event in page.events] == [first.id]
    assert page.next is None


def test_without_fts5_words_are_looked_for_in_the_rows(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("matcher", "search.filling", "search.view", "search.index"):
        monkeypatch.setattr(f"eventbus.log.{module}.has_fts5", lambda: False)
    fill(bus)
    with indexed(bus.log) as index:
        assert not index.state().has_words
        assert find(bus.log, "needle1 order-3") == [37, 33, 13], "as parts of the text"
        assert histogram(bus.log, index, EventQuery(), 10, lambda type: False)


def test_many_parts_are_as_one(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "PART_SIZE", 7)
    monkeypatch.setattr(source, "ROWS", 3)
    fill(bus)
    with indexed(bus.log) as index:
        assert find(bus.log, "needle*") == list(range(40, 0, -1))
        since, until = START + timedelta(seconds=70), START + timedelta(seconds=140)
        assert find(bus.log, "needle2", since=since, until=until) == [18, 14, 10]
        page = bus.log.query(EventQuery(since=since, until=until))
        assert [event["n"] for event in page.events] == list(range(19, 9, -1))
        take_away(bus.log, "event", list(range(1, 10)))
        wait_until(lambda: index.state().behind_count == 0 and not _stale(bus.log), "all is afresh")
        assert find(bus.log, "needle*") == list(range(40, 9, -1))


@pytest.mark.parametrize(
    "query",
    [
        EventQuery(),
        EventQuery(pattern=Pattern("#.failed")),
        EventQuery(subject="order-2"),
        EventQuery(text="needle3"),
        EventQuery(since=START + timedelta(seconds=50), until=START + timedelta(seconds=150)),
        EventQuery(since=START + timedelta(seconds=100), pattern=Pattern("shop.paid")),
    ],
)
def test_a_histogram_counts_what_a_query_finds(bus: EventBus, query: EventQuery) -> None:
    fill(bus)
    with indexed(bus.log) as index:
        found = {
            most_bars: histogram(bus.log, index, query, most_bars, lambda t: t.endswith(".failed"))
            for most_bars in (3, 12, 80)
        }
    events = bus.log.query(query).events
    for most_bars, counted in found.items():
        assert counted is not None
        assert len(counted.bars) <= most_bars
        for bar in counted.bars:
            within = [event for event in events if bar.start <= event.time < bar.end]
            failed = [event for event in within if event.type.endswith("failed")]
            if counted.is_exact:
                assert (bar.count, bar.bad_count) == (len(within), len(failed))
            else:
                assert bar.count >= len(within)
        if counted.is_exact:
            assert counted.total == len(events)


def test_there_is_no_histogram_of_nothing(bus: EventBus) -> None:
    with indexed(bus.log) as index:
        assert histogram(bus.log, index, EventQuery(), 10, lambda type: False) is None
        fill(bus, 3)
        for query in (EventQuery(subject="nobody"), EventQuery(pattern=Pattern("no.type")),
                      EventQuery(since=START + timedelta(days=1))):  # fmt: skip
            assert histogram(bus.log, index, query, 10, lambda type: False) is None


def _stale(log: EventLog) -> bool:
    conn = index_file.open_for_reading(log.path)
    try:
        return conn.execute("SELECT count(*) FROM parts WHERE is_stale").fetchone()[0] > 0
    finally:
        conn.close()


def test_words_are_found_by_their_parts_in_the_index_and_before_it(bus: EventBus) -> None:
    bus.publish("shop.paid", {"n": 1, "error": {"type": "RateLimitError"}}, subject="x")
    bus.publish("shop.OrderLost", {"n": 2, "error": "rate_limit_reached"}, subject="HTTPProxy")

    def look() -> None:
        assert find(bus.log, "rate limit*") == [2, 1]
        assert find(bus.log, '"limit error"') == [1]
        assert find(bus.log, "lost proxy") == [2]
        assert find(bus.log, "ratelimiterror") == [1]
        assert find(bus.log, '"error limit"') == []

    look()
    with indexed(bus.log):
        look()


def test_one_process_of_a_machine_fills_the_index_and_when_it_ends_another_goes_on() -> None:
    with fresh_url("postgresql") as url, EventBus.open(url) as one, EventBus.open(url) as other:
        fill(one, 20)
        with indexed(other.log) as filling, indexed(one.log) as reading:
            fill(other, 40)
            wait_until(lambda: reading.state().behind_count == 0, "it sees what is filled")
            assert candidates(reading, "needle1") == candidates(filling, "needle1") != []
            filling.close()
            one.publish("shop.paid", {"n": 41, "word": "needle1"})
            wait_until(lambda: candidates(reading, "needle1")[-1] == 61, "it goes on", 20.0)
            assert find(one.log, "needle1")[0] == 41


def test_what_another_process_removes_leaves_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "UNHEARD_S", 0.1)
    with fresh_url("postgresql") as url, EventBus.open(url) as one, EventBus.open(url) as other:
        fill(one)
        with indexed(one.log) as index:
            assert candidates(index, "needle1")[0] == 1
            chosen = [Candidate(1, "shop.paid", 1)]
            other.log.between_commits(lambda conn: removals.remove(conn, "payload", chosen))
            wait_until(lambda: candidates(index, "needle1")[0] == 5, "it is not in the index")
