"""Replay: fold the whole log once more through handlers, into a scratch database of their own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from sqlalchemy import Connection

from eventbus.effects import Effects, set_effects
from eventbus.errors import EffectError
from eventbus.event import Event
from eventbus.log.database import Database
from eventbus.log.eventlog import EventLog
from eventbus.log.migrations import Migration, migrate
from eventbus.log.unit import Apply
from eventbus.patterns import Pattern, PatternIndex
from eventbus.subscription import Handler

_PAGE = 1_000


class ReplayBus:
    """Looks like an EventBus to handlers, so that they can be installed on it, and then ``run``.

    Their state changes go to a scratch database that ``close`` removes; what they publish is
    dropped, because the log has it already. A handler that raises changes nothing, as live.
    """

    def __init__(self, source: EventLog) -> None:
        self._source = source
        self._scratch = Database("sqlite://")
        self._handlers: PatternIndex[tuple[str, Handler]] = PatternIndex()
        self._effects: Effects | None = None
        self.failures: list[tuple[Event, str, BaseException]] = []
        self.log = _ScratchLog(self._scratch, source)

    def subscribe(self, pattern: str, handler: Handler, *, name: str = "", **_: Any) -> None:
        """Have ``handler`` called for the matching events of the log, in order."""
        self._handlers.add(Pattern(pattern), (name, handler))

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

    def now(self) -> datetime:
        """The time, in UTC; what handlers make of it is dropped with what they publish."""
        return datetime.now(UTC)

    def effect(self, apply: Apply, params: Any) -> None:
        """Apply a state change to the scratch database when the handler returns."""
        if self._effects is None:
            raise EffectError("a state change can only be asked for while handling an event")
        self._effects.change(apply, params)

    def run(self, upto: int | None = None) -> int:
        """Handle every event up to sequence ``upto`` (default: the log's end); returns that."""
        end = self._source.last_sequence if upto is None else upto
        return asyncio.run(self._run(end))

    async def _run(self, end: int) -> int:
        position = 0
        with self._scratch.writer.begin():
            while position < end:
                chunk = self._source.read(position, _PAGE, upto=end)
                for event in chunk.events:
                    for name, handler in self._handlers.match(event.type):
                        await self._handle(name, handler, event)
                if chunk.position <= position:
                    break
                position = chunk.position
        return position

    async def _handle(self, name: str, handler: Handler, event: Event) -> None:
        self._effects = effects = Effects(event, name)
        set_effects(effects)
        try:
            result = handler(event)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self.failures.append((event, name, error))
            return
        finally:
            effects.is_open = False
            set_effects(None)
            self._effects = None
        for apply, params in effects.changes:
            apply(self._scratch.writer, [params])

    def close(self) -> None:
        """Remove the scratch database."""
        self._scratch.close()

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

    def __init__(self, scratch: Database, source: EventLog) -> None:
        self._scratch = scratch
        self._source = source

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        # The writing connection: a handler must see what earlier events have changed.
        yield self._scratch.writer

    def migrate(self, component: str, migrations: Sequence[Migration]) -> None:
        migrate(self._scratch.writer, component, migrations)

    def delivery_counts(self) -> dict[str, int]:
        return self._source.delivery_counts()


class _Done:
    """The receipt of an event that is not recorded."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __await__(self) -> Iterator[Any]:
        return iter(())
