"""Subscribing the built-in handlers: each at most once a bus, whoever needs it first."""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakKeyDictionary

from eventbus import Event, EventBus
from eventbus.log.head import concerns
from eventbus.rebuild import REBUILT
from handlers.migrations import MIGRATIONS
from handlers.settings import HandlerSettings

COMPONENT = "handlers"
# How many deliveries may wait for one look at their committed rows.
_CONCURRENCY = 256
_HINT = "it keeps a read model, which `flask rebuild` makes afresh from the log"


class BuiltInHandler(Protocol):
    """What the handlers have in common; ``key`` gives an event's ordering key.

    ``replaced`` is called when a rebuild has replaced rows: what is remembered of them is void.
    """

    name: str
    pattern: str
    settings: HandlerSettings

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None: ...

    def key(self, event: Event) -> str: ...

    async def handle(self, event: Event) -> None: ...

    def replaced(self) -> None: ...


_lock = threading.Lock()  # guards _subscribed
_subscribed: WeakKeyDictionary[EventBus, dict[str, BuiltInHandler]] = WeakKeyDictionary()


def ensure(
    bus: EventBus, kind: type[BuiltInHandler], settings: HandlerSettings | None = None
) -> BuiltInHandler:
    """The bus's handler of this kind, subscribed now if it was not; then ``settings`` hold."""
    with _lock:
        known = _subscribed.setdefault(bus, {})
        handler = known.get(kind.name)
        if handler is None:
            bus.log.migrate(COMPONENT, MIGRATIONS)
            handler = kind(bus, settings or HandlerSettings())
            bus.subscribe(
                handler.pattern,
                handler.handle,
                name=handler.name,
                concurrency=_CONCURRENCY,
                key=handler.key,
                together=True,  # they write the same counters
            )
            if isinstance(bus, EventBus):  # a bus for replays has no operations
                bus.operations.refuse_replay(handler.name, _HINT)
                _forget_in_time(bus, handler)
            known[kind.name] = handler
        elif settings is not None:
            handler.settings = settings
        return handler


def _forget_in_time(bus: EventBus, handler: BuiltInHandler) -> None:
    """What it remembers of rows is void when another process has changed them."""

    def begun(name: str) -> None:
        if name == handler.name:
            handler.replaced()

    def changed(topics: set[str]) -> None:
        if concerns(topics, REBUILT):
            handler.replaced()

    bus.serving.begin_listeners.append(begun)
    bus.log.change_listeners.append(changed)


def rows_replaced(bus: EventBus) -> None:
    """Tell the bus's handlers that a rebuild has replaced rows, under the commit lock."""
    with _lock:
        known = list(_subscribed.get(bus, {}).values())
    for handler in known:
        handler.replaced()
