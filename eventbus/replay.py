"""Replay: fold the log once more through handlers, into a scratch database of their own."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Table

from eventbus.effects import Effects, set_effects
from eventbus.errors import EffectError, RebuildError
from eventbus.event import Event
from eventbus.log.baseline import begin_fold
from eventbus.log.compare import count_rows, replace_rows
from eventbus.log.dead_letters import DeadLetters
from eventbus.log.eventlog import EventLog
from eventbus.log.fold import Fold, last_sequence
from eventbus.log.migrations import Migration, migrate
from eventbus.log.unit import Apply
from eventbus.pace import Pace
from eventbus.patterns import Pattern, PatternIndex
from eventbus.subscription import Handler, Key, by_subject

_PAGE = 1_000
_SMALL = 1_000
_ALL = 1_000_000  # of the deliveries of so many events
# State changes that are applied together: enough that a table's query and its write cost little
# for each, few enough that all of them stay in the processor's cache.
_BATCH = 500
# How long one look at the log's deliveries may be gone on from: the longer, the less often holes
# are looked at again; while it lasts the log's WAL file cannot be folded into the database.
_ROUND_S = 2.0


@dataclass(frozen=True, slots=True)
class _Subscriber:
    name: str
    handler: Handler
    key: Key


class ReplayBus:
    """Looks like an EventBus to handlers, so that they can be installed on it, and then ``run``.

    Of a subscription that the log knows, exactly those deliveries are handled that have succeeded;
    one that it does not know gets every event that matches. State changes go to a scratch database;
    what handlers publish is dropped, because the log has it already. Events that retention has
    removed are there in what it kept of them, its baseline. For one thread, without a running loop.
    """

    def __init__(
        self,
        source: EventLog,
        *,
        fold: Fold | None = None,
        pace: Pace | None = None,
        is_strict: bool = False,
    ) -> None:
        """``fold`` is where to go on, by default a new one, which ``close`` removes.

        ``pace`` says how much of a processor to take. With ``is_strict``, ``fold`` folds nothing
        and raises RebuildError when something fails. Raises RebuildError when events were removed
        and there is no baseline that has them.
        """
        self._is_strict = is_strict
        self._source = source
        self._is_own = fold is None
        self._fold = begin_fold(source) if fold is None else fold
        self.pace = pace or Pace()
        self._subscribers: dict[str, _Subscriber] = {}
        self._unknown: PatternIndex[_Subscriber] = PatternIndex()
        self._by_id: dict[int, _Subscriber] = {}
        self._effects: Effects | None = None
        self._current: tuple[str, str] | None = None
        self._waiting: list[tuple[Effects, list[tuple[Apply, Any]]]] = []
        self._waiting_keys: set[tuple[str, str]] = set()
        self._loop = asyncio.new_event_loop()
        self.handled = 0
        """How many deliveries were handled."""
        self.failures: list[tuple[Event, str, BaseException]] = []
        self.log = _ScratchLog(self._fold, source, self._settle)

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection on the scratch database: what is folded now."""
        return self._fold.reading()

    @property
    def position(self) -> int:
        """The sequence up to which the log is folded."""
        return self._fold.position

    # -- what handlers see -------------------------------------------------------------------

    def subscribe(
        self, pattern: str, handler: Handler, *, name: str = "", key: Key | None = None, **_: Any
    ) -> None:
        """Have ``handler`` called for its events of the log, in order."""
        subscriber = _Subscriber(name, handler, key or by_subject)
        known = {stored.name: stored.id for stored in self._source.subscribers()}
        if name in known:
            self._by_id[known[name]] = subscriber
        else:
            self._unknown.add(Pattern(pattern), subscriber)

    def on(self, pattern: str, **options: Any) -> Callable[[Handler], Handler]:
        """``subscribe`` as a decorator."""

        def decorate(handler: Handler) -> Handler:
            self.subscribe(pattern, handler, **options)
            return handler

        return decorate

    def publish(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        delay: object = None,
        at: object = None,
        **attributes: Any,
    ) -> _Done:
        """Check the event as live, then drop it."""
        if self._effects is None:
            raise EffectError("a replay bus takes events from its log alone")
        return _Done(self._effects.publish(type, data, **attributes))

    def cancel(self, id: str, source: str | None = None, by: str | None = None) -> None:
        """Nothing: what was cancelled is not in the log."""

    def now(self) -> datetime:
        """The time, in UTC; what handlers make of it is dropped with what they publish."""
        return datetime.now(UTC)

    def effect(self, apply: Apply, params: Any) -> None:
        """Apply a state change to the scratch database when the handler has returned."""
        if self._effects is None:
            raise EffectError("a state change can only be asked for while handling an event")
        self._effects.change(apply, params)

    # -- folding -----------------------------------------------------------------------------

    def run(self, upto: int | None = None) -> int:
        """Fold every event up to sequence ``upto`` (default: the log's end); returns that.

        Blocks; events come meanwhile. Retention waits.
        """
        end = self._source.last_sequence if upto is None else upto
        with self._source.removing_nothing():
            while True:
                with self._source.reading() as conn:
                    self.fold(conn, end, _ROUND_S)
                if self.position >= end:
                    return self.position

    def fold(self, conn: Connection, upto: int | None = None, for_s: float | None = None) -> None:
        """Fold what ``conn``, on the log, sees up to ``upto``, for about ``for_s`` seconds.

        All of that or nothing. What was passed over before, and has succeeded since, comes first:
        so deliveries of one key, seen in one transaction, are folded in the order of their success.
        """
        self._loop.run_until_complete(self._fold_round(conn, upto, for_s))

    async def _fold_round(self, conn: Connection, upto: int | None, for_s: float | None) -> None:
        deadline = None if for_s is None else time.monotonic() + for_s
        newest = last_sequence(conn)
        end = newest if upto is None else min(upto, newest)
        with self._fold.round():
            for event, id in self._fold.filled_holes(conn):
                if id in self._by_id:
                    await self._handle(self._by_id[id], event)
            self._flush()
            while self._fold.position < end:
                await self._fold_page(conn, end)
                if deadline is not None and time.monotonic() > deadline:
                    break
            if self._is_strict and self.failures:
                raise self._failed()

    async def _fold_page(self, conn: Connection, end: int) -> None:
        others: list[tuple[Event, _Subscriber]] = []
        limit = _PAGE
        if self._unknown:
            chunk = self._source.read(self._fold.position, _PAGE, upto=end)
            for event in chunk.events:
                others += [(event, found) for found in self._unknown.match(event.type)]
            end, limit = chunk.position, _ALL
        page = self._fold.page(conn, self._by_id, end, limit)
        work = [(event, self._by_id[id]) for event, id in page.work] + others
        if others:
            work.sort(key=lambda item: item[0].sequence or 0)
        for event, subscriber in work:
            await self._handle(subscriber, event)
        self._flush()
        self._fold.pass_over(page)

    async def _handle(self, subscriber: _Subscriber, event: Event) -> None:
        key = subscriber.name, _key(subscriber, event)
        effects = Effects(event, subscriber.name)
        self._effects, self._current = effects, key
        set_effects(effects)
        try:
            result = subscriber.handler(event)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self.failures.append((event, subscriber.name, error))
            return
        finally:
            effects.is_open = False
            set_effects(None)
            self._effects = self._current = None
        self.handled += 1
        if effects.changes:
            self._waiting.append((effects, effects.changes))
            self._waiting_keys.add(key)
            if len(self._waiting) >= _BATCH:
                self._flush()
        self.pace.turn()

    def _failed(self) -> RebuildError:
        event, name, error = self.failures[0]
        return RebuildError(
            f"{len(self.failures)} deliveries that had succeeded cannot be handled again; the "
            f"first is event #{event.sequence} ({event.type}) at {name}: {error!r}"
        )

    def _settle(self) -> None:
        """Apply what earlier events of the present key asked for: live, it is committed by now."""
        if self._current is not None and self._current in self._waiting_keys:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._waiting_keys.clear()
        if not waiting:
            return
        groups: dict[Apply, list[Any]] = {}
        for _, changes in waiting:
            for apply, params in changes:
                groups.setdefault(apply, []).append(params)
        try:
            with self._fold.writer.begin_nested():
                for apply, params_list in groups.items():
                    apply(self._fold.writer, params_list)
        except Exception as error:
            if len(waiting) == 1:
                effects = waiting[0][0]
                self.failures.append((effects.event, effects.subscription, error))
                return
            for one in waiting:  # the others are not to suffer
                self._waiting = [one]
                self._flush()

    def put_rows(
        self, conn: Connection, tables: Iterable[Table], keys: Mapping[str, Sequence[Any]]
    ) -> None:
        """Make the rows with these keys, by table, in ``conn`` what they are here.

        Small tables as a whole: what they sum up may have moved on from rows that differed.
        """
        writer = self._fold.writer
        with writer.begin():
            for table in tables:
                some: Sequence[Any] | None = keys.get(table.name, ())
                if max(count_rows(c, table, _SMALL) for c in (conn, writer)) < _SMALL:
                    some = None
                replace_rows(conn, writer, table, some)

    def close(self) -> None:
        """Remove the scratch database, if it is this bus's own."""
        self._loop.close()
        if self._is_own:
            self._fold.remove()

    def __enter__(self) -> ReplayBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _ScratchLog:
    """The part of the log that read models use: their tables in scratch, the events in the log."""

    def __init__(self, fold: Fold, source: EventLog, settle: Callable[[], None]) -> None:
        self._fold = fold
        self._source = source
        self.settle = settle

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        # The writing connection: a handler must see what earlier events have changed.
        self.settle()
        yield self._fold.writer

    def migrate(self, component: str, migrations: Sequence[Migration]) -> None:
        migrate(self._fold.writer, component, migrations)

    @property
    def dead_letters(self) -> DeadLetters:
        return self._source.dead_letters


class _Done:
    """The receipt of an event that is not recorded."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __await__(self) -> Iterator[Any]:
        return iter(())


def _key(subscriber: _Subscriber, event: Event) -> str:
    try:
        return str(subscriber.key(event))
    except Exception:  # as live: its handler meets the same problem
        return event.subject
