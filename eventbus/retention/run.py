"""A run of retention: what has to go is folded into the baseline, then removed in small chunks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from eventbus.log import removals, space
from eventbus.log.eventlog import EventLog
from eventbus.log.head import removal
from eventbus.log.removals import Candidate, What
from eventbus.log.unit import Unit
from eventbus.replay import ReplayBus
from eventbus.retention.chunk import ChunkSize
from eventbus.retention.folding import BaselineFold
from eventbus.retention.rules import LIMIT, MIN_AGE_S, RetentionRules

logger = logging.getLogger("eventbus.retention")

_PAGE = 2_000
_TYPES = 200
_TURN_S = 0.2
# How much of the time commits may have to wait for a chunk.
_SHARE = 0.2
_FOLD_SHARE = 0.5
# Once the database is too large, so much of the limit is made free at once.
_SLACK = 0.05
# Free pages are used again by the next events: to give back the last of them would be in vain.
_FREE_SHARE, _FREE_PAGES = 0.05, 64
# Payloads that were held back are looked for again.
_LOOK_AGAIN_S = 3_600.0


@dataclass(slots=True)
class Counts:
    """How many events went, and of how many others the payload."""

    events: int = 0
    payloads: int = 0


@dataclass(slots=True)
class Removed:
    """What a run removed, or would remove, by the rule that said so.

    ``held_back`` counts what had to stay because a delivery is unfinished. ``is_too_large``: the
    database is larger than the limit, and nothing more may go.
    """

    rules: dict[str, Counts] = field(default_factory=dict)
    held_back: int = 0
    is_too_large: bool = False

    @property
    def is_nothing(self) -> bool:
        return not self.rules

    def add(self, rule: str, what: What, count: int) -> None:
        """Count some more."""
        if count:
            counts = self.rules.setdefault(rule, Counts())
            if what == "event":
                counts.events += count
            else:
                counts.payloads += count


@dataclass(frozen=True, slots=True)
class _Part:
    """Events of a type that are old enough for a rule."""

    rule: str
    what: What
    type: str
    upto: int
    moment_us: int


class Retention:
    """Applies rules to a log; one thread runs it, any may ``stop`` it for good.

    The newest event always stays: it is the log's position.
    """

    def __init__(
        self,
        log: EventLog,
        rules: RetentionRules,
        install: Callable[[ReplayBus], object],
        *,
        max_bytes: int = 0,
        min_age_s: float = MIN_AGE_S,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        """``install`` subscribes the handlers whose read models must outlive the events.

        ``max_bytes`` is the most that the database's pages may take, 0 for no limit; nothing
        younger than ``min_age_s`` seconds goes.
        """
        self.rules = rules
        self.max_bytes = max_bytes
        self._log = log
        self._install = install
        self._min_age_s = min_age_s
        self._now_us = now_us
        self._stopping = threading.Event()
        self._chunk = ChunkSize(log.storage.is_on_server)
        self._pages = ChunkSize()
        self._done: dict[str, int] = {}  # how far the payloads of a type have gone
        self._look_again_at = 0.0
        self._removed = Removed()

    @property
    def longest_hold_ms(self) -> float:
        """The longest that commits had to wait for a chunk so far."""
        return max(self._chunk.longest_s, self._pages.longest_s) * 1_000

    def stop(self) -> None:
        """End what runs after its present chunk."""
        self._stopping.set()

    def run(self) -> Removed:
        """Remove what has to go; blocks. Stopped, it returns what has gone by then.

        Raises RebuildError when the baseline cannot be kept (then nothing more goes) and the
        log's errors.
        """
        self._removed = removed = Removed()
        if time.monotonic() > self._look_again_at:
            self._done.clear()
            self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
        baseline = BaselineFold(self._log, self._install, _FOLD_SHARE, self._turn)
        try:
            for part in self._begin(baseline):
                self._clear(baseline, part)
            self._make_room(baseline)
            self._give_back()
        except _Stopped:
            pass
        finally:
            baseline.close()
        return removed

    def would_remove(self) -> Removed:
        """What a run would remove by the age rules now; reads, and changes nothing."""
        found = Removed()
        parts = self._parts()
        held: dict[_Part, int] = {}
        by_type: dict[str, list[_Part]] = {}
        for part in parts:
            by_type.setdefault(part.type, []).append(part)
        with self._log.reading() as conn:
            for sequence, type in removals.unfinished(conn):
                for part in by_type.get(type, ()):
                    if sequence <= part.upto:
                        held[part] = held.get(part, 0) + 1
        going: dict[str, int] = {}
        for part in parts:  # what goes as an event does not go as a payload
            with self._log.reading() as conn:
                count = removals.count(conn, part.what, part.type, part.upto, part.moment_us)
            count = max(0, count - held.get(part, 0))
            if part.what == "event":
                going[part.type] = count
            else:
                count = max(0, count - going.get(part.type, 0))
            found.add(part.rule, part.what, count)
        found.held_back = sum(n for part, n in held.items() if part.what == "event") or sum(
            held.values()
        )
        found.is_too_large = self._is_above(self.max_bytes)
        return found

    # -- by age ------------------------------------------------------------------------------

    def _begin(self, baseline: BaselineFold) -> list[_Part]:
        """The parts that have something to go, all of it in the baseline."""
        parts = [part for part in self._parts() if self._next(part, self._start(part), 1)]
        if parts:
            baseline.bring_to(max(part.upto for part in parts))
        return parts

    def _parts(self) -> list[_Part]:
        last = self._log.last_sequence - 1
        bounds: dict[float, tuple[int, int]] = {}
        parts = []
        for type in self._types():
            rule = self.rules.rule_of(type)
            if rule is None:
                continue
            ages: tuple[tuple[What, float | None], ...] = (
                ("event", rule.keep_s), ("payload", rule.payload_s)
            )  # fmt: skip
            for what, age_s in ages:
                if age_s is None or age_s == math.inf:
                    continue
                if age_s not in bounds:
                    moment_us = self._now_us() - int(max(age_s, self._min_age_s) * 1e6)
                    with self._log.reading() as conn:
                        bounds[age_s] = (
                            removals.recorded_before(conn, moment_us, last), moment_us
                        )  # fmt: skip
                parts.append(_Part(rule.text, what, type, *bounds[age_s]))
        # Events first: the payloads of those need not go alone.
        return sorted(parts, key=lambda part: part.what)

    def _types(self) -> Iterator[str]:
        after = ""
        while True:
            with self._log.reading() as conn:
                found = removals.types_after(conn, after, _TYPES)
            yield from found
            if len(found) < _TYPES:
                return
            after = found[-1]

    def _start(self, part: _Part) -> int:
        return self._done.get(part.type, 0) if part.what == "payload" else 0

    def _next(self, part: _Part, after: int, limit: int) -> list[Candidate]:
        with self._log.reading() as conn:
            return removals.candidates(
                conn, part.what, part.type, after, part.upto, part.moment_us, limit
            )

    def _clear(self, baseline: BaselineFold, part: _Part) -> None:
        after = self._start(part)
        while found := self._next(part, after, _PAGE):
            self._remove(baseline, part.what, part.rule, found)
            after = found[-1].sequence
            if part.what == "payload":
                self._done[part.type] = after

    # -- by size -----------------------------------------------------------------------------

    def _make_room(self, baseline: BaselineFold) -> None:
        if not self._is_above(self.max_bytes):
            return
        goal = int(self.max_bytes * (1 - _SLACK))
        last = self._log.last_sequence - 1
        moment_us = self._now_us() - int(self._min_age_s * 1e6)
        after = 0
        while self._is_above(goal):
            with self._log.reading() as conn:
                found = removals.oldest(conn, after, last, moment_us, _PAGE)
            if not found:
                self._removed.is_too_large = self._is_above(self.max_bytes)
                return
            after = found[-1].sequence
            going = [each for each in found if self.rules.may_go_for_room(each.type)]
            if going:
                baseline.bring_to(after)
                self._remove(baseline, "event", LIMIT, going, lambda: self._is_above(goal))

    def _is_above(self, limit: int) -> bool:
        if not limit:
            return False
        with self._log.reading() as conn:
            return space.pages(conn).used_bytes > limit

    # -- in chunks ---------------------------------------------------------------------------

    def _remove(
        self,
        baseline: BaselineFold,
        what: What,
        rule: str,
        waiting: Sequence[Candidate],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        while waiting and is_wanted():
            chunk, waiting = self._chunk.take(waiting)
            with self._turn():
                took_s = self._remove_chunk(baseline, what, rule, chunk)
            self._rest(took_s)

    def _remove_chunk(
        self, baseline: BaselineFold, what: What, rule: str, chunk: Sequence[Candidate]
    ) -> float:
        sequences = [each.sequence for each in chunk]
        assert sequences[-1] <= baseline.position, "nothing goes before the baseline has it"
        holes = baseline.holes(sequences)
        with self._log.reading() as conn:
            if len(removals.held_back(conn, sequences, holes)) == len(chunk):
                self._removed.held_back += len(chunk)  # dead letters: commits need not wait
                return 0.0
        going: list[Candidate] = []

        def change(conn: Any) -> None:
            held = removals.held_back(conn, sequences, holes)
            going[:] = [each for each in chunk if each.sequence not in held]
            if going:
                removals.remove(conn, what, going)
                count = len(going) if what == "event" else 0
                first, last = going[0].sequence, going[-1].sequence
                self._log.tell_others(conn, removal(first, last, count, self._log.id))

        def then() -> None:
            if going:
                self._log.removed(
                    [each.sequence for each in going], len(going) if what == "event" else 0
                )

        took_s = self._commit(self._chunk, change, then)
        self._removed.add(rule, what, len(going))
        self._removed.held_back += len(chunk) - len(going)
        return took_s

    def _give_back(self) -> None:
        """Cut free pages off the file's end, but for as many as will be used again soon."""
        with self._log.reading() as conn:
            if not space.gives_back(conn):
                return
        before = None
        while True:
            with self._log.reading() as conn:
                now = space.pages(conn)
            excess = now.free - max(_FREE_PAGES, int(now.count * _FREE_SHARE))
            if excess <= 0 or now == before:  # an older file has no way to give pages back
                break
            before, count = now, min(excess, self._pages.count)

            def cut(conn: Any, count: int = count) -> None:
                space.give_back(conn, count)

            with self._turn():
                took_s = self._commit(self._pages, cut)
            self._rest(took_s)
        if before is None and self._removed.is_nothing:
            return
        # Only now: after every chunk, its synchronising would hold up that of the commits.
        if not space.checkpoint(self._log.path):
            self._log.between_commits(self._checkpoint_rest)

    def _checkpoint_rest(self, conn: Any) -> None:
        """What commits have added meanwhile, which is little: else the file would not be cut."""
        began = time.monotonic()
        space.checkpoint(self._log.path)
        self._pages.longest_s = max(self._pages.longest_s, time.monotonic() - began)

    def _commit(
        self,
        size: ChunkSize,
        change: Callable[[Any], None],
        then: Callable[[], None] = lambda: None,
    ) -> float:
        began = worked = ended = 0.0

        def call(conn: Any) -> None:
            nonlocal began, worked
            began = time.monotonic()
            change(conn)
            worked = time.monotonic()

        def token() -> None:
            nonlocal ended
            then()
            ended = time.monotonic()

        self._log.commit(Unit(call=call, token=token))
        size.took(worked - began, ended - began)
        return ended - began

    def _rest(self, worked_s: float) -> None:
        self._stopping.wait(worked_s * (1 / _SHARE - 1))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """While it is held nobody folds the log; raises _Stopped."""
        while not self._stopping.is_set():
            with self._log.removing(_TURN_S) as is_mine:
                if is_mine:
                    yield
                    return
        raise _Stopped


class _Stopped(Exception):
    """Somebody called ``stop``."""
