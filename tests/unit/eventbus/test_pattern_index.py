"""The index of many patterns: agreement with asking each one, order, its cache, and threads."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventbus.patterns import Pattern, PatternIndex

segments = st.sampled_from(["a", "b", "c"])
types = st.lists(segments, min_size=1, max_size=5).map(".".join)
patterns = st.lists(segments | st.sampled_from("*+#"), min_size=1, max_size=5).map(".".join)


def index_of(*texts: str) -> PatternIndex[str]:
    index: PatternIndex[str] = PatternIndex()
    for text in texts:
        index.add(Pattern(text), text)
    return index


@given(st.lists(patterns, max_size=12), st.lists(types, max_size=8))
def test_a_look_up_finds_what_asking_every_pattern_finds(
    texts: list[str], asked: list[str]
) -> None:
    index = index_of(*texts)
    for type in asked + asked:  # the second time from the cache
        assert index.match(type) == tuple(t for t in texts if Pattern(t).matches(type))


class IndexUnderChange(RuleBasedStateMachine):
    """Random additions, removals and look-ups against a plain list of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.index: PatternIndex[int] = PatternIndex(cache_size=4)
        self.registered: list[tuple[Pattern, int]] = []

    @rule(text=patterns, value=st.integers(0, 3))
    def add(self, text: str, value: int) -> None:
        self.index.add(Pattern(text), value)
        self.registered.append((Pattern(text), value))

    @precondition(lambda self: self.registered)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.registered))
        self.index.remove(*pair)
        self.registered.remove(pair)

    @rule(text=patterns, value=st.integers(0, 3))
    def remove_what_may_not_be_there(self, text: str, value: int) -> None:
        # Patterns that are spelt differently but say the same share a place: "#.#" and "#".
        if any(p.tokens == Pattern(text).tokens and v == value for p, v in self.registered):
            return
        with pytest.raises(KeyError):
            self.index.remove(Pattern(text), value)

    @rule(type=types)
    def look_up(self, type: str) -> None:
        expected = tuple(value for pattern, value in self.registered if pattern.matches(type))
        assert self.index.match(type) == expected

    @invariant()
    def counts_its_registrations(self) -> None:
        assert len(self.index) == len(self.registered)


TestIndexUnderChange = IndexUnderChange.TestCase


def test_values_come_in_the_order_of_registration() -> None:
    index = index_of("a.b", "#", "+.b", "*", "a.+", "a.#.b", "a.*")
    assert index.match("a.b") == ("a.b", "#", "+.b", "*", "a.+", "a.#.b", "a.*")


def test_an_empty_index_finds_nothing() -> None:
    index = index_of()
    assert index.match("a.b") == ()
    assert len(index) == 0


def test_a_value_registered_twice_is_found_twice_until_removed_twice() -> None:
    index = index_of("a", "a")
    assert index.match("a") == ("a", "a")
    index.remove(Pattern("a"), "a")
    assert index.match("a") == ("a",)
    index.remove(Pattern("a"), "a")
    assert index.match("a") == ()


def test_a_change_shows_in_a_look_up_that_was_cached() -> None:
    index = index_of("a.*")
    assert index.match("a.b") == ("a.*",)
    index.add(Pattern("#"), "#")
    assert index.match("a.b") == ("a.*", "#")
    index.remove(Pattern("a.*"), "a.*")
    assert index.match("a.b") == ("#",)


def test_removing_one_branch_leaves_its_neighbours() -> None:
    index = index_of("a", "a.b.c", "a.b.d", "a.b")
    index.remove(Pattern("a.b"), "a.b")
    index.remove(Pattern("a.b.c"), "a.b.c")
    assert [index.match(t) for t in ("a", "a.b", "a.b.c", "a.b.d")] == [
        ("a",), (), (), ("a.b.d",)
    ]  # fmt: skip


def test_what_was_never_registered_cannot_be_removed() -> None:
    index = index_of("a.b")
    for text, value in (("a", "a"), ("a.b", "other"), ("a.b.c", "a.b"), ("x", "x")):
        with pytest.raises(KeyError, match="registered"):
            index.remove(Pattern(text), value)
    assert index.match("a.b") == ("a.b",)


def test_values_need_not_be_hashable() -> None:
    index: PatternIndex[list[int]] = PatternIndex()
    index.add(Pattern("a"), [1])
    assert index.match("a") == ([1],)
    index.remove(Pattern("a"), [1])
    assert index.match("a") == ()


def test_the_cache_stays_within_its_bound_and_right() -> None:
    index: PatternIndex[str] = PatternIndex(cache_size=8)
    index.add(Pattern("+.x"), "x")
    for number in range(100):
        assert index.match(f"a{number}.x") == ("x",)
        assert index.match(f"a{number}.y") == ()
        assert len(index._young) + len(index._old) <= 8


def test_look_ups_run_while_another_thread_adds_and_removes() -> None:
    index = index_of("a.*", "#")
    stop = Event()
    seen: set[tuple[str, ...]] = set()

    def look_up() -> None:
        while not stop.is_set():
            seen.add(index.match("a.b"))

    readers = [Thread(target=look_up) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(2000):
        index.add(Pattern("a.+"), "a.+")
        index.remove(Pattern("a.+"), "a.+")
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= {("a.*", "#"), ("a.*", "#", "a.+")}
    assert index.match("a.b") == ("a.*", "#")
