"""Event types and the patterns that subscriptions match them with: one pattern, or many at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Generic, TypeVar

from eventbus.errors import PatternError

MAX_TYPE_CHARS = 255
MAX_TYPE_SEGMENTS = 16

_SEGMENT = r"[A-Za-z0-9_-]+"
_TYPE = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT}){{0,{MAX_TYPE_SEGMENTS - 1}}}")
_NOT_IN_SEGMENT = re.compile(r"[^A-Za-z0-9_-]")

# How a pattern's wildcards are kept: a trailing "*" is exactly one segment, then any more.
_ONE = "+"
_MANY = "#"
_WILDCARDS = frozenset("*+#")

T = TypeVar("T")


def validate_type(type: str) -> None:
    """Check the name of an event: 1 to 16 segments of ``[A-Za-z0-9_-]+``, at most 255 characters.

    Raises PatternError, which says the rule and the value.
    """
    if isinstance(type, str) and len(type) <= MAX_TYPE_CHARS and _TYPE.fullmatch(type):
        return
    for segment in _segments(type, "an event type"):
        if not _WILDCARDS.isdisjoint(segment):
            raise PatternError(f"an event type must not contain a wildcard: {_shown(type)}")
        _check_literal(segment, type, "an event type")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set of event types, written in dot notation with wildcards.

    A ``*`` at the end matches one or more segments, before the end exactly one; ``+`` matches
    exactly one and ``#`` zero or more, anywhere. Patterns are equal when their texts are.

    Matching runs all ways through the pattern at once, as the bits of one integer (Shift-And,
    Baeza-Yates and Gonnet 1992, over segments), so that its time is linear in the type's segments
    for any number of wildcards.

    Raises PatternError for a text that breaks the dialect, naming the text and the rule.
    """

    text: str
    tokens: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Literal segments, ``+`` for exactly one, ``#`` for zero or more (never two in a row)."""
    is_literal: bool = field(init=False, repr=False, compare=False)
    """Whether it has no wildcard and so matches one type alone."""
    matches_all: bool = field(init=False, repr=False, compare=False)
    """Whether every type there can be matches, as with ``*`` or ``#``."""
    _literals: dict[str, int] = field(init=False, repr=False, compare=False)
    _any: int = field(init=False, repr=False, compare=False)
    _loops: int = field(init=False, repr=False, compare=False)
    _end: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        tokens = _tokens(self.text)
        # Bit i of the state is set when the first i one-segment tokens have been used up. A "#"
        # uses up none: it lets the state where it stands survive a segment.
        end, any_segment, loops = 1, 0, 0
        where: dict[str, int] = {}
        for token in tokens:
            if token == _MANY:
                loops |= end
                continue
            if token == _ONE:
                any_segment |= end
            else:
                where[token] = where.get(token, 0) | end
            end <<= 1
        put(self, "tokens", tokens)
        put(self, "is_literal", not (any_segment or loops))
        put(self, "matches_all", loops != 0 and not where and end <= 2)
        put(self, "_literals", {token: bits | any_segment for token, bits in where.items()})
        put(self, "_any", any_segment)
        put(self, "_loops", loops)
        put(self, "_end", end)

    def matches(self, type: str) -> bool:
        """Whether the event type ``type`` is in this set. Raises PatternError for no text."""
        try:
            segments = type.split(".")
        except (AttributeError, TypeError):
            raise PatternError(f"an event type must be text, not {_shown(type)}") from None
        state = 1
        for segment in segments:
            advancing = state & self._literals.get(segment, self._any)
            state = advancing << 1 | state & self._loops
        return state & self._end != 0

    def covers(self, other: Pattern) -> bool:
        """Whether every event type that ``other`` matches is in this set, too."""
        segments = {*self._literals, *other._literals, ""}  # the last is any that neither names
        states, seen = {(1, 1)}, set[tuple[int, int]]()
        for _ in range(MAX_TYPE_SEGMENTS):
            states = {
                (self._after(mine, segment), other._after(theirs, segment))
                for mine, theirs in states
                for segment in segments
            } - seen
            if any(theirs & other._end and not mine & self._end for mine, theirs in states):
                return False
            seen |= states
        return True

    def _after(self, state: int, segment: str) -> int:
        """The state that one more segment leads to; ``matches`` does the same without a call."""
        return (state & self._literals.get(segment, self._any)) << 1 | state & self._loops

    def __str__(self) -> str:
        return self.text


class PatternIndex(Generic[T]):
    """Values registered under patterns, to be found by event type.

    A trie of the patterns' tokens, walked along all branches that fit at once, behind a bounded
    cache that every change empties. Any thread may call any method: a look-up sees what was
    registered before or after a concurrent change, never part of it, and when cached takes no lock.
    """

    def __init__(self, cache_size: int = 4096) -> None:
        """``cache_size`` bounds the number of event types whose values are remembered."""
        self._lock = Lock()  # guards the trie and every write to the caches
        self._root: _Node[T] = _Node()
        self._registered_count = 0  # ever; a registration's number gives the order of values
        self._live_count = 0
        # Two generations make the cache forget roughly the least recently used at no cost to a
        # hit in the young one: when that is full it becomes the old one, whose rest is dropped.
        self._generation_size = max(1, cache_size // 2)
        self._young: dict[str, tuple[T, ...]] = {}
        self._old: dict[str, tuple[T, ...]] = {}

    def __len__(self) -> int:
        """The number of registrations."""
        return self._live_count

    def add(self, pattern: Pattern, value: T) -> None:
        """Register ``value``; one that is registered twice is found twice."""
        with self._lock:
            node = self._root
            for token in pattern.tokens:
                node = node.children.setdefault(token, _Node(token == _MANY))
            node.values.append((self._registered_count, value))
            self._registered_count += 1
            self._live_count += 1
            self._young, self._old = {}, {}

    def remove(self, pattern: Pattern, value: T) -> None:
        """Take back the earliest registration of ``value`` under ``pattern``.

        Raises KeyError when there is none.
        """
        with self._lock:
            path = [self._root]
            for token in pattern.tokens:
                if token not in path[-1].children:
                    raise KeyError(f"nothing is registered under {pattern.text!r}")
                path.append(path[-1].children[token])
            values = path[-1].values
            at = next((i for i, (_, kept) in enumerate(values) if kept == value), None)
            if at is None:
                raise KeyError(f"{value!r} is not registered under {pattern.text!r}")
            del values[at]
            self._live_count -= 1
            for token in reversed(pattern.tokens):
                node = path.pop()
                if node.values or node.children:
                    break
                del path[-1].children[token]
            self._young, self._old = {}, {}

    def match(self, type: str) -> tuple[T, ...]:
        """The values of all patterns that match ``type``, in the order of registration."""
        found = self._young.get(type)
        return self._match_and_remember(type) if found is None else found

    def _match_and_remember(self, type: str) -> tuple[T, ...]:
        with self._lock:  # also so that a result from before a change is never kept after it
            found = self._old.get(type)
            if found is None:
                found = self._search(type)
            if len(self._young) >= self._generation_size:
                self._young, self._old = {}, self._young
            self._young[type] = found
            return found

    def _search(self, type: str) -> tuple[T, ...]:
        frontier = self._root.entered()
        for segment in type.split("."):
            reached: set[_Node[T]] = set()
            for node in frontier:
                if node.is_many:
                    reached.add(node)
                for token in (segment, _ONE):
                    if token in node.children:
                        reached |= node.children[token].entered()
            frontier = reached
        found = [entry for node in frontier for entry in node.values]
        return tuple(value for _, value in sorted(found, key=lambda entry: entry[0]))


class _Node(Generic[T]):
    """A place in the trie: what is registered here, and where each next token leads."""

    __slots__ = ("children", "is_many", "values")

    def __init__(self, is_many: bool = False) -> None:
        self.is_many = is_many  # stands behind a "#": keeps matching whatever segments come
        self.children: dict[str, _Node[T]] = {}
        self.values: list[tuple[int, T]] = []  # each with the number of its registration

    def entered(self) -> set[_Node[T]]:
        """The nodes where a walk stands that comes here: a ``#`` that follows may match nothing."""
        return {self, self.children[_MANY]} if _MANY in self.children else {self}


def _tokens(text: str) -> tuple[str, ...]:
    segments = _segments(text, "a pattern")
    tokens: list[str] = []
    for position, segment in enumerate(segments, start=1):
        if segment not in _WILDCARDS:
            if not _WILDCARDS.isdisjoint(segment):
                where = "" if segment == text else f" in {_shown(text)}"
                raise PatternError(
                    "a wildcard in a pattern must be a whole segment, "
                    f"not a part of one like {_shown(segment)}{where}"
                )
            _check_literal(segment, text, "a pattern")
            tokens.append(segment)
        elif segment == "*":
            tokens += [_ONE, _MANY] if position == len(segments) else [_ONE]
        elif segment == _ONE or tokens[-1:] != [_MANY]:  # "#.#" matches what "#" does
            tokens.append(segment)
    return tuple(tokens)


def _segments(text: Any, what: str) -> list[str]:
    if not isinstance(text, str):
        raise PatternError(f"{what} must be text in dot notation, not {_shown(text)}")
    if not text:
        raise PatternError(f"{what} must not be empty: ''")
    if len(text) > MAX_TYPE_CHARS:
        limit = f"at most {MAX_TYPE_CHARS} characters, not {len(text)}"
        raise PatternError(f"{what} must have {limit}: {_shown(text)}")
    segments = text.split(".")
    if len(segments) > MAX_TYPE_SEGMENTS:
        limit = f"at most {MAX_TYPE_SEGMENTS} segments, not {len(segments)}"
        raise PatternError(f"{what} must have {limit}: {_shown(text)}")
    return segments


def _check_literal(segment: str, text: str, what: str) -> None:
    if not segment:
        raise PatternError(f"{what} must not have an empty segment: {_shown(text)}")
    if found := _NOT_IN_SEGMENT.search(segment):
        raise PatternError(
            f"{what} must have only A-Z, a-z, 0-9, '_' and '-' between its dots, "
            f"not {found[0]!r}: {_shown(text)}"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
