"""The log against a model: a plain list of events, whatever is appended and asked in any order."""

from __future__ import annotations

import re
import sqlite3
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventbus import Event, Pattern
from eventbus.errors import CursorError
from eventbus.log import EventLog, EventQuery, event_filter, history
from eventbus.log import reader as reader_module
from eventbus.log.cursor import encode_place
from eventbus.log.search import filling, index_file, source
from eventbus.log.search.view import View
from eventbus.log.unit import Unit
from tests.helpers.databases import fresh_url
from tests.helpers.examples import examples

START = datetime(2026, 11, 24, tzinfo=UTC)
# Few values each, so that conditions often match, and texts that mean something to SQL's LIKE.
TYPES = ["a", "a.b", "a.b.c", "b.b", "c"]
PATTERNS = ["*", "#", "a.*", "a.#", "+.b", "#.b", "b.b", "none", "a.+", "#.c.#"]
SUBJECTS = ["s1", "s2"]
IDS = [f"id{number}" for number in range(12)]
SOURCES = ["/x", "/y"]
WORDS = ["100%", "a_b", 'quote"d', "back\\slash", "Émile", "<b>", "ABC", "line\nabc"]
TEXTS = ["100%", "a_b", "back\\slash", "abc", "ab*", "émile", '"ÉM"*', '"k"', "zzz", "<b>", "s1"]

new_events = st.builds(
    Event.create,
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(["k", "word"]), st.sampled_from(WORDS) | st.integers(0, 3)),
    id=st.sampled_from(IDS),
    source=st.sampled_from(SOURCES),
    subject=st.sampled_from(SUBJECTS),
    time=st.integers(-5, 5).map(lambda minutes: START + timedelta(minutes=minutes)),
    correlationid=st.none() | st.sampled_from(IDS),
)
moments = st.integers(-6, 6).map(lambda minutes: START + timedelta(minutes=minutes))
positions = st.integers(-1, 40)
compiled_patterns = st.sampled_from(PATTERNS).map(Pattern)


def rarely(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One time in four: with every condition at once, nothing would ever be found."""
    return st.one_of(st.none(), st.none(), st.none(), values)


queries = st.builds(
    EventQuery,
    pattern=rarely(compiled_patterns),
    subject=rarely(st.sampled_from([*SUBJECTS, "nobody"])),
    correlation=rarely(st.sampled_from(IDS)),
    after=rarely(positions),
    before=rarely(positions),
    since=rarely(moments),
    until=rarely(moments),
    text=rarely(
        st.sampled_from(
            [
                "100%",
                "a_b",
                "back\\slash",
                "abc",
                "ab*",
                "émile",
                '"ÉM"*',
                '"k"',
                "zzz",
                "<b>",
                "s1",
            ]
        )
    ),
    order=st.sampled_from(["asc", "desc"]),
    limit=st.integers(1, 5),
)


def tokens(text: str) -> list[str]:
    """The words of a text, as somebody who looks for them sees them."""
    return re.findall(r"[^\W_]+", text.lower())


def has_words(event: Event, text: str) -> bool:
    """``text`` is a phrase, perhaps with a star."""
    wanted = tokens(text)
    payload = re.sub(r"\\.", " ", event.data_json)  # what is escaped in JSON is no letter
    for found in map(tokens, (payload, event.type, event.subject)):
        for start in range(len(found) - len(wanted) + 1):
            *first, last = found[start : start + len(wanted)]
            is_last = last.startswith(wanted[-1]) if "*" in text else last == wanted[-1]
            if first == wanted[:-1] and is_last:
                return True
    return False


def is_asked_for(event: Event, query: EventQuery) -> bool:
    sequence = event.sequence or 0
    return (
        (query.pattern is None or query.pattern.matches(event.type))
        and query.subject in (None, event.subject)
        and query.correlation in (None, event.correlationid, event.id)
        and (query.after is None or sequence > query.after)
        and (query.before is None or sequence < query.before)
        and (query.since is None or event.time >= query.since)
        and (query.until is None or event.time < query.until)
        and (query.text is None or has_words(event, query.text))
    )


class Reading:
    """An index as the history reads it, on the connection that fills it."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def viewing(self) -> AbstractContextManager[View]:
        return nullcontext(View(self._conn))


class LogModel(RuleBasedStateMachine):
    """``recorded`` is what the log should hold, in order."""

    database = "sqlite"

    @initialize(
        step=st.sampled_from([1, 2, 3, 1000]),
        most=st.sampled_from([2, 4, 6, 1000]),
        first=st.lists(new_events, min_size=8, max_size=16),
    )
    def open(self, step: int, most: int, first: list[Event]) -> None:
        # The real bounds of a scan are met by tens of thousands of events; smaller ones by these.
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(reader_module, "_STEP", step)
        self.patch.setattr(history, "_STEP", step)
        self.patch.setattr(history, "_WIDE_STEP", 2 * step)
        self.patch.setattr(history, "_LED_STEP", 3 * step)
        self.patch.setattr(history, "_MOST_SCANNED", most)
        self.patch.setattr(history, "_MATCHER_ROWS", most)
        self.patch.setattr(event_filter, "MOST_TYPES", most)
        self.patch.setattr(index_file, "PART_SIZE", 2 * step + 1)
        self.patch.setattr(source, "ROWS", step)
        self.place = ExitStack()
        self.log = EventLog(self.place.enter_context(fresh_url(self.database)))
        self.log.start(lambda recorded, batch: None)
        self.recorded: list[Event] = []
        self.heard: list[int] = []
        self.log.add_listener(lambda events: self.heard.extend(e.sequence or 0 for e in events))
        self.append(first)

    @rule(events=st.lists(new_events, min_size=1, max_size=12))
    def append(self, events: list[Event]) -> None:
        unit = Unit(events)
        self.log.commit(unit)
        duplicates = set()
        for index, event in enumerate(events):
            known = [e for e in self.recorded if e == event]  # the same source and id
            if known:
                duplicates.add(index)
                assert unit.events[index].to_dict() == known[0].to_dict()
            else:
                self.recorded.append(event.evolve(sequence=len(self.recorded) + 1))
                assert unit.events[index].to_dict() == self.recorded[-1].to_dict()
        assert unit.duplicates == duplicates

    @rule(steps=st.integers(1, 8))
    def fill_the_index(self, steps: int) -> None:
        """Some steps of what a thread does, and have what follows use it."""
        if self.log.history.index is None:
            self.source = source.source_of(self.log)
            self.filler = index_file.open_for_filling(self.log.path, self.source)
            self.log.history.index = Reading(self.filler)
        for _ in range(steps):
            work = filling.next_work(self.filler, self.log.last_sequence, True)
            if work is not None:
                filling.take_in(self.filler, self.source, work, self.log.last_sequence)

    # Many at once: hypothesis likes short runs, and a rare mistake needs many questions.
    @rule(asked=st.lists(queries, min_size=8, max_size=8))
    def page_through_history(self, asked: list[EventQuery]) -> None:
        for query in asked:
            self.page_through(query)

    def page_through(self, query: EventQuery) -> None:
        expected = [event for event in self.recorded if is_asked_for(event, query)]
        expected = expected[::-1] if query.order == "desc" else expected
        found: list[Event] = []
        cursor: str | None = None
        for _ in range(2 * len(self.recorded) + 2):
            page = self.log.query(changed(query, cursor))
            assert len(page.events) <= query.limit
            found += page.events
            cursor = page.next
            if cursor is None:
                break
        assert cursor is None, "the pages never end"
        assert [e.to_dict() for e in found] == [e.to_dict() for e in expected]
        # And all the way back, from after the last one.
        end = encode_place(0 if query.order == "desc" else len(self.recorded) + 1, is_back=True)
        back: str | None = end
        found = []
        for _ in range(2 * len(self.recorded) + 2):
            page = self.log.query(changed(query, back))
            assert len(page.events) <= query.limit
            found = page.events + found
            back = page.previous
            if back is None:
                break
        assert back is None, "the pages never end"
        assert [e.to_dict() for e in found] == [e.to_dict() for e in expected]

    @rule(
        after=st.integers(0, 30), limit=st.integers(1, 6), upto=st.none() | st.integers(0, 30),
        pattern=st.none() | compiled_patterns,
    )  # fmt: skip
    def read_on(self, after: int, limit: int, upto: int | None, pattern: Pattern | None) -> None:
        end = len(self.recorded) if upto is None else min(upto, len(self.recorded))
        expected = [
            sequence
            for sequence in range(after + 1, end + 1)
            if pattern is None or pattern.matches(self.recorded[sequence - 1].type)
        ]
        found: list[int] = []
        position = after
        while position < end:
            chunk = self.log.read(position, limit, pattern, upto)
            assert len(chunk.events) <= limit
            assert position < chunk.position <= end
            position = chunk.position
            found += [event.sequence or 0 for event in chunk.events]
            # Complete up to the position: nothing before it may come later.
            assert found == [sequence for sequence in expected if sequence <= position]
        assert found == expected

    @rule(id=st.sampled_from(IDS), source=st.none() | st.sampled_from(SOURCES))
    def get_one(self, id: str, source: str | None) -> None:
        known = [e for e in self.recorded if e.id == id and source in (None, e.source)]
        found = self.log.get(id, source)
        assert (found and found.to_dict()) == (known[-1].to_dict() if known else None)

    @precondition(lambda self: self.recorded)
    @rule(data=st.data(), limit=st.integers(1, 30))
    def trace_one(self, data: st.DataObject, limit: int) -> None:
        newest = {event.id: event for event in self.recorded}
        start = data.draw(st.sampled_from(list(newest.values())))
        trace = self.log.trace(start.id, limit)
        assert trace is not None
        root = start.correlationid
        expected = [e.sequence for e in self.recorded if root in (e.correlationid, e.id)]
        assert trace.truncated == (len(expected) > limit)
        found = [e.sequence for e in trace.events]
        assert found == sorted(found)
        assert set(found) <= set(expected)
        assert len(found) == min(len(expected), limit)

    @rule()
    def list_types(self) -> None:
        newest = {event.type: event for event in self.recorded}
        assert [(seen.type, seen.last_sequence, seen.last_time) for seen in self.log.types()] == [
            (type, newest[type].sequence, newest[type].time) for type in sorted(newest)
        ]

    @rule(after=positions, upto=positions, pattern=st.none() | compiled_patterns)
    def count_types(self, after: int, upto: int, pattern: Pattern | None) -> None:
        expected: dict[str, list[int]] = {}
        for event in self.recorded[max(0, after) : max(0, upto)]:
            if pattern is None or pattern.matches(event.type):
                expected.setdefault(event.type, []).append(event.sequence or 0)
        found = {c.type: (c.count, c.first, c.last) for c in self.log.counts(after, upto, pattern)}
        assert found == {type: (len(s), s[0], s[-1]) for type, s in expected.items()}

    @invariant()
    def the_end_is_known(self) -> None:
        if hasattr(self, "log"):
            assert self.log.last_sequence == len(self.recorded)
            assert self.heard == list(range(1, len(self.recorded) + 1))

    def teardown(self) -> None:
        if hasattr(self, "log"):
            if self.log.history.index is not None:
                self.filler.close()
            self.log.close()
            self.place.close()
            self.patch.undo()


class LogModelOnPostgresql(LogModel):
    database = "postgresql"


def changed(query: EventQuery, cursor: str | None) -> EventQuery:
    values: dict[str, Any] = {name: getattr(query, name) for name in EventQuery.__slots__}
    return EventQuery(**{**values, "cursor": cursor})


TestLogModel = LogModel.TestCase
TestLogModelOnPostgresql = LogModelOnPostgresql.TestCase
TestLogModel.settings = settings(
    max_examples=examples(15),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLogModelOnPostgresql.settings = settings(TestLogModel.settings, max_examples=examples(3))


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "é", "x" * 500, "MS4y", "MS4xLjE", "LTE"])
def test_a_cursor_that_the_log_did_not_hand_out_is_refused(log: EventLog, cursor: str) -> None:
    with pytest.raises(CursorError, match="is not a cursor"):
        log.query(EventQuery(cursor=cursor))
