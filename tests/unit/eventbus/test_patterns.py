"""The pattern dialect: what each wildcard matches, what is refused, agreement with a reference."""

from __future__ import annotations

import copy
import itertools
import pickle
from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus.errors import EventBusError, PatternError
from eventbus.patterns import Pattern, validate_type

# Few letters and short texts, so that a random pattern often matches a random type.
segments = st.sampled_from(["a", "b", "c"])
types = st.lists(segments, min_size=1, max_size=8).map(".".join)
patterns = st.lists(segments | st.sampled_from("*+#"), min_size=1, max_size=8).map(".".join)


def matches_naively(pattern: list[str], type: list[str]) -> bool:
    """The dialect word for word, by trying everything; exponential in the number of ``#``."""
    if not pattern:
        return not type
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(matches_naively(rest, type[used:]) for used in range(len(type) + 1))
    if first == "*" and not rest:
        return len(type) >= 1
    return bool(type) and first in ("*", "+", type[0]) and matches_naively(rest, type[1:])


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("queue.task.added", ["queue.task.added"], ["queue.task", "queue.task.added.x", "Queue.x"]),
        ("queue.*", ["queue.task", "queue.task.added"], ["queue", "queues.task", "x.queue.task"]),
        ("evaluation.*", ["evaluation.started"], ["evaluation", "metrics.evaluation.started"]),
        ("*.task.added", ["queue.task.added"], ["task.added", "a.b.task.added"]),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
        ("a.+", ["a.b"], ["a", "a.b.c"]),
        ("+", ["a"], ["a.b"]),
        ("+.+", ["a.b"], ["a", "a.b.c"]),
        ("a.#", ["a", "a.b", "a.b.c"], ["b", "b.a"]),
        ("#.c", ["c", "b.c", "a.b.c"], ["c.b"]),
        ("a.#.c", ["a.c", "a.b.c", "a.b.b.c", "a.c.c"], ["a", "c", "a.c.b"]),
        ("a.#.#.c", ["a.c", "a.b.b.c"], ["a.b"]),
        ("#.b.#", ["b", "a.b", "b.c", "a.b.c"], ["a.c"]),
        ("#.*", ["a", "a.b.c"], []),
        ("#.+", ["a", "a.b.c"], []),
        ("*.*", ["a.b", "a.b.c"], ["a"]),
        ("*", ["a", "a.b.c.d"], []),
        ("#", ["a", "a.b.c.d"], []),
    ],
)
def test_a_wildcard_matches_what_the_dialect_says(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    compiled = Pattern(pattern)
    assert [type for type in matching + other if compiled.matches(type)] == matching


@given(patterns, types)
@example("#.a.#.a.#.*", "a.b.a.c")
def test_matching_agrees_with_a_naive_reference(pattern: str, type: str) -> None:
    assert Pattern(pattern).matches(type) == matches_naively(pattern.split("."), type.split("."))


SHORT = [".".join(each) for n in range(1, 6) for each in itertools.product("abz", repeat=n)]
short = st.lists(st.sampled_from("ab*+#"), min_size=1, max_size=3).map(".".join)


@given(short, short)
@example("#", "*")
@example("#.a", "a.#.a")
@example("a.*", "a.+.#")
def test_a_pattern_covers_another_when_it_matches_all_that_the_other_does(
    pattern: str, other: str
) -> None:
    mine, theirs = Pattern(pattern), Pattern(other)
    expected = all(mine.matches(type) for type in SHORT if theirs.matches(type))
    assert mine.covers(theirs) == expected


@given(types)
def test_a_literal_pattern_matches_its_own_type_alone(type: str) -> None:
    assert Pattern(type).is_literal
    assert Pattern(type).matches(type)
    assert not Pattern(type).matches(f"{type}.x")


@given(patterns)
def test_a_pattern_is_literal_exactly_without_wildcards(pattern: str) -> None:
    assert Pattern(pattern).is_literal == set(pattern.split(".")).isdisjoint("*+#")


@given(patterns)
def test_a_pattern_that_matches_all_is_known_as_such(pattern: str) -> None:
    # Segments that the pattern cannot name: a type of them tells wildcards from literals.
    unknown = [".".join(["z"] * count) for count in range(1, 17)]
    assert Pattern(pattern).matches_all == all(map(Pattern(pattern).matches, unknown))


def test_many_hashes_cost_no_more_than_a_few() -> None:
    # A backtracking matcher needs seconds to years for this one: 2^15 splits and more.
    hostile = Pattern("#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.b")
    type = ".".join(["a"] * 16)
    started = perf_counter()
    assert not any(hostile.matches(type) for _ in range(1000))
    assert perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must not be empty"),
        (".", "empty segment"),
        ("a..b", "empty segment"),
        (".a", "empty segment"),
        ("a.", "empty segment"),
        ("ev*", "whole segment"),
        ("a.*b.c", "whole segment"),
        ("a.**", "whole segment"),
        ("a.#b", "whole segment"),
        ("a b", "between its dots"),
        ("a\n", "between its dots"),
        ("é", "between its dots"),
        ("a.\ud800", "between its dots"),
        ("a.\x00", "between its dots"),
        (".".join("a" * 17), "at most 16 segments, not 17"),
        ("a" * 256, "at most 255 characters, not 256"),
    ],
)
def test_a_bad_text_is_refused_with_the_rule_and_the_text(text: str, rule: str) -> None:
    with pytest.raises(PatternError, match=rule) as caught:
        Pattern(text)
    assert repr(text)[:60] in str(caught.value)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, EventBusError)


@pytest.mark.parametrize("value", [None, 7, b"a.b", ["a"], {}])
def test_what_is_not_text_is_refused(value: object) -> None:
    for make in (Pattern, validate_type):
        with pytest.raises(PatternError, match="must be text"):
            make(value)  # type: ignore[operator]


@given(st.text(max_size=300))
def test_any_text_either_compiles_or_is_a_pattern_error(text: str) -> None:
    try:
        pattern = Pattern(text)
    except PatternError as error:
        assert str(error).isprintable()
    else:
        assert pattern.text == text


@pytest.mark.parametrize("type", ["a", "A-b_9", "queue.task.added", "a" * 255, ".".join("a" * 16)])
def test_a_type_within_the_limits_is_accepted(type: str) -> None:
    validate_type(type)


@pytest.mark.parametrize(
    ("type", "rule"),
    [
        ("", "must not be empty"),
        ("a..b", "empty segment"),
        ("a.b.", "empty segment"),
        ("a b", "not ' '"),
        ("a\n", r"not '\\n'"),
        ("evaluation.*", "must not contain a wildcard"),
        ("ev*", "must not contain a wildcard"),
        ("+", "must not contain a wildcard"),
        ("a.#", "must not contain a wildcard"),
        (".".join("a" * 17), "at most 16 segments, not 17"),
        ("a" * 300, "at most 255 characters, not 300"),
    ],
)
def test_a_bad_type_is_refused_with_the_rule_and_the_value(type: str, rule: str) -> None:
    with pytest.raises(PatternError, match=rule) as caught:
        validate_type(type)
    assert repr(type)[:60] in str(caught.value)


@given(st.text(alphabet="ab.-_Z9*+# é\x00", max_size=40))
def test_the_valid_types_are_the_valid_literal_patterns(text: str) -> None:
    def accepts(check: object) -> bool:
        try:
            check(text)  # type: ignore[operator]
        except PatternError:
            return False
        return True

    literal = accepts(Pattern) and Pattern(text).is_literal
    assert accepts(validate_type) == literal


def test_patterns_are_values() -> None:
    pattern = Pattern("a.#")
    assert pattern == Pattern("a.#")
    assert hash(pattern) == hash(Pattern("a.#"))
    assert pattern != Pattern("a.*")
    assert str(pattern) == "a.#"
    for twin in (copy.deepcopy(pattern), pickle.loads(pickle.dumps(pattern))):
        assert twin == pattern
        assert twin.matches("a.b")
    with pytest.raises(AttributeError):
        pattern.text = "b"  # type: ignore[misc]
