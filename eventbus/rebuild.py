"""Rebuilding read models from the log while the bus runs, and checking them against it."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from eventbus.errors import RebuildError
from eventbus.log import EventLog
from eventbus.log.compare import Difference, Tables, differences
from eventbus.log.fold import last_sequence
from eventbus.pace import Pace
from eventbus.replay import ReplayBus

logger = logging.getLogger("eventbus.rebuild")

State = Literal["folding", "comparing", "replacing", "done", "failed", "stopped"]

_ROUND_S = 0.5
# So few events that folding them takes some 20 ms: the rest is folded between two commits.
_FEW = 200
# Over so many rounds it is looked whether the fold gains on the log, and how much it must have
# gained of what it folded: with less it would last fifty times as long as with nothing coming in.
_WINDOW_ROUNDS = 20
_LEAST_GAIN = 0.02
# For so long one snapshot is folded to its end; meanwhile the WAL file cannot be folded in.
_MOST_SNAPSHOT_S = 60.0
_MOST_PASSES = 10
_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild or check is; times are seconds since the epoch.

    ``position`` of ``upto`` events of the log are folded. ``differences`` counts the rows that
    differed, of which ``examples`` are the first hundred; a rebuild has replaced them, in a
    transaction that held up commits for ``held_ms``. ``failures`` counts deliveries that had
    succeeded and could not be folded; a rebuild with any replaces nothing. ``folded_per_s`` and
    ``recorded_per_s`` are events a second in the last window that was looked at, some 10 s.
    """

    is_check: bool
    state: State = "folding"
    position: int = 0
    upto: int = 0
    handled: int = 0
    failures: int = 0
    differences: int = 0
    examples: Sequence[Difference] = field(default=())
    held_ms: float | None = None
    folded_per_s: float | None = None
    recorded_per_s: float | None = None
    error: str | None = None
    started_at: float = 0.0
    finished_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None


REBUILT = "rebuilt"
"""Told to other processes of the log: what they remember of rows is void."""


class Rebuild:
    """One rebuild or check; ``run`` blocks, any thread may look at ``progress`` and ``stop`` it.

    The log is folded into tables beside it, in the order in which it was recorded, up to exactly
    the deliveries that have succeeded. Then rows are compared on one snapshot of the database; a
    rebuild puts the fold's rows in place of those that differ, in one transaction between two
    commits, in which what was delivered meanwhile is folded too. It then looks again, for rows
    that were made in between from ones that differed.

    While events come in faster than a whole processor folds them it never reaches the present:
    then rows are compared as of a moment that has passed, and a rebuild that has found some which
    differ stops, with nothing replaced.
    """

    def __init__(
        self,
        log: EventLog,
        install: Callable[[ReplayBus], object],
        tables: Tables,
        *,
        is_check: bool = False,
        share: float = 1.0,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """``install`` subscribes the handlers that keep ``tables``; ``share`` is the part of a
        processor to take. ``replaced`` is called under the commit lock when rows were replaced:
        what was remembered of them is void.
        """
        self._log = log
        self._install = install
        self._tables = tables
        self._share = share
        self._replaced = replaced
        self._is_whole = share == 1.0  # what the fold takes now
        self._stopping = threading.Event()
        self.progress = Progress(is_check, started_at=time.time())

    def stop(self) -> None:
        """End it soon, with nothing replaced."""
        self._stopping.set()

    def run(self) -> Progress:
        """Do it; returns how it ended. Blocks: some 10,000 events are folded a second.

        Raises RebuildError and the log's errors, which ``progress`` tells too.
        """
        try:
            with self._log.removing_nothing(), ReplayBus(self._log, pace=Pace(self._share)) as bus:
                self._install(bus)
                self._run(bus)
        except _Stopped as stopped:
            self._end("stopped", f"{stopped}; {self._replaced_so_far}")
        except KeyboardInterrupt:
            self._end("stopped", f"it was interrupted; {self._replaced_so_far}")
            raise
        except BaseException as error:
            self._end("failed", str(error) or type(error).__name__)
            raise
        return self.progress

    def _run(self, bus: ReplayBus) -> None:
        for _ in range(_MOST_PASSES):
            if not self._catch_up(bus) and self._is_far:
                raise self._overtaken()
            found = self._compare(bus)
            if not found or self.progress.is_check:
                self._end("done")
                return
            if bus.failures:
                event, name, error = bus.failures[0]
                raise RebuildError(
                    f"{len(bus.failures)} deliveries that had succeeded cannot be handled again, "
                    f"nothing was replaced; the first is event #{event.sequence} ({event.type}) "
                    f"at {name}: {error!r}"
                )
            if not self._catch_up(bus):
                raise self._overtaken()
            self._replace(bus, found)
        raise RebuildError(f"after {_MOST_PASSES} passes there are still rows that differ")

    def _catch_up(self, bus: ReplayBus) -> bool:
        """Fold up to the present, but for what comes in while the last round lasts.

        False when a whole processor does not gain on what comes in.
        """
        is_whole = self._is_whole
        position, end, at = bus.position, self._log.last_sequence, time.monotonic()
        for rounds in itertools.count(1):
            self._check_stopped()
            with self._log.reading() as conn:
                bus.fold(conn, for_s=_ROUND_S)
            newest = self._log.last_sequence
            self._note(bus, upto=newest)
            if bus.position >= newest - _FEW:
                return True
            if rounds % _WINDOW_ROUNDS:
                continue
            folded, recorded = bus.position - position, newest - end
            took_s = max(time.monotonic() - at, 0.001)
            self._note(bus, folded_per_s=folded / took_s, recorded_per_s=recorded / took_s)
            position, end, at = bus.position, newest, time.monotonic()
            if folded - recorded > folded * _LEAST_GAIN:
                continue
            if is_whole:
                return False
            is_whole = self._is_whole = True
            bus.pace.share(1.0)
        raise AssertionError("rounds have no end")

    @property
    def _is_far(self) -> bool:
        """Whether folding what is there by now, with nothing coming in, takes too long."""
        found = self.progress
        return found.upto - found.position > (found.folded_per_s or 0.0) * _MOST_SNAPSHOT_S

    def _overtaken(self) -> _Stopped:
        found = self.progress
        return _Stopped(
            f"events come in faster than they are folded ({found.recorded_per_s or 0:,.0f} a "
            f"second, against {found.folded_per_s or 0:,.0f}), so that it stays "
            f"{found.upto - found.position:,} behind; try again when fewer come in"
        )

    @property
    def _replaced_so_far(self) -> str:
        if self.progress.held_ms is None:
            return "nothing was replaced"
        return "some rows were replaced, others may still differ"

    def _check_stopped(self) -> None:
        if self._stopping.is_set():
            raise _Stopped("it was stopped")

    def _compare(self, bus: ReplayBus) -> dict[str, list[tuple[Any, ...]]]:
        """The keys of all rows that differ, by table."""
        keys: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        examples: list[Difference] = []
        count = 0
        with self._log.reading() as conn:
            end = last_sequence(conn)  # from here on this is the state that is compared
            bus.fold(conn, for_s=_ROUND_S)
            while bus.position < end:
                self._check_stopped()
                self._note(bus)
                bus.fold(conn, for_s=_ROUND_S)
            self._note(bus, state="comparing")
            with bus.reading() as fresh:
                for difference in differences(conn, fresh, self._tables):
                    keys[difference.table].append(tuple(difference.key.values()))
                    count += 1
                    if len(examples) < _MOST_SHOWN:
                        examples.append(difference)
                    self._check_stopped()
        if not self.progress.differences:  # else it is a second look
            self._note(bus, differences=count, examples=tuple(examples))
        return keys

    def _replace(self, bus: ReplayBus, keys: dict[str, list[tuple[Any, ...]]]) -> None:
        self._note(bus, state="replacing")
        began = 0.0

        def swap(conn: Any) -> None:
            nonlocal began
            began = time.monotonic()
            bus.pace.share(1.0)
            bus.fold(conn)
            bus.put_rows(conn, self._tables, keys)
            self._log.tell_others(conn, REBUILT)

        def then() -> None:
            self._replaced()
            held_ms = (time.monotonic() - began) * 1_000
            self._note(bus, held_ms=max(held_ms, self.progress.held_ms or 0.0))

        self._log.between_commits(swap, then)
        self._is_whole = self._share == 1.0
        bus.pace.share(self._share)

    def _note(self, bus: ReplayBus, **changes: Any) -> None:
        self.progress = replace(
            self.progress,
            position=bus.position,
            handled=bus.handled,
            failures=len(bus.failures),
            **{"upto": max(self.progress.upto, bus.position), **changes},
        )

    def _end(self, state: State, error: str | None = None) -> None:
        self.progress = replace(self.progress, state=state, error=error, finished_at=time.time())


class _Stopped(Exception):
    """It ends before its end, for the reason that it says."""
