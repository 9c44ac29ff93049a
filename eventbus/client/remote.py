"""RemoteEventBus: publish to, and subscribe at, a bus in another process, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from eventbus.actor import check_actor
from eventbus.cancels import Cancel
from eventbus.client.cancellation import RemoteCancellation, cancel_at, is_on_loop
from eventbus.client.connection import token_or_default
from eventbus.client.effects import effects_of
from eventbus.client.endpoint import Endpoint
from eventbus.client.lifetime import EXIT_TIMEOUT_S, end_with_the_process
from eventbus.client.notices import Notices
from eventbus.client.opening import open_subscriptions
from eventbus.client.outbox import ClientStats, Outbox
from eventbus.client.receipt import RemoteBatchReceipt, RemoteReceipt
from eventbus.client.sender import Sender
from eventbus.errors import (
    BusClosedError,
    BusUnavailableError,
    EventValidationError,
    FieldError,
)
from eventbus.event import Event
from eventbus.extensions import Extension
from eventbus.scheduled import ScheduledEvent, read_events
from eventbus.subscription import F, Handler, decorator
from eventbus.tracing import Tracing
from eventbus.validation import MAX_EVENT_BYTES, check_attribute

if TYPE_CHECKING:
    from eventbus.client.subscriptions import RemoteSubscription, Subscriptions
    from eventbus.patterns import Pattern

DEFAULT_SOURCE = "/remote"


class RemoteEventBus:
    """An event bus that runs elsewhere, at ``url``.

    ``publish`` only puts the event into a bounded queue, so it never waits for the network and
    never fails because of it: use it from any thread and from coroutines. A daemon thread,
    ``eventbus-client``, sends the events in order and in batches, and repeats a batch until the
    bus confirms it; ids are given at ``publish``, so an event is recorded once however often it
    is sent. When the queue is full the oldest events are dropped; ``stats`` counts exactly, and
    the log says once when the bus is away and once when it is back.

    At the end of the process up to 2 s are spent on what is still pending. A forked child starts
    with an empty queue; one that ends by ``os._exit``, as those of multiprocessing do, must call
    ``close`` itself.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        source: str = DEFAULT_SOURCE,
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        batch_size: int = 200,
        linger_s: float = 0.1,
        timeout_s: float = 10.0,
        backoff_first_s: float = 0.25,
        backoff_max_s: float = 10.0,
        max_event_bytes: int = MAX_EVENT_BYTES,
        ping_every_s: float = 20.0,
    ) -> None:
        """``token`` is what the bus knows this program by, if it asks; by default that of the
        environment variable EVENTBUS_TOKEN. ``source`` is that of events published without one.

        A batch is sent when it has ``batch_size`` events or its first one is ``linger_s`` old;
        ``timeout_s`` bounds each wait for the network; the waits between attempts double from
        ``backoff_first_s`` to ``backoff_max_s``, with jitter. Nothing is connected before the
        first event. Raises ValueError for a URL or a number that cannot be used.
        """
        for name, value in (("max_pending", max_pending), ("batch_size", batch_size),
                            ("max_pending_bytes", max_pending_bytes), ("timeout_s", timeout_s),
                            ("backoff_first_s", backoff_first_s),
                            ("ping_every_s", ping_every_s)):  # fmt: skip
            if value <= 0:
                raise ValueError(f"{name} must be greater than 0, not {value!r}")
        self.url = url
        self._token = token_or_default(token)
        self.source = source
        self.tracing: Tracing | None = None
        self._max_event_bytes = max_event_bytes
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._ping_every_s = ping_every_s
        self._backoff_s = (backoff_first_s, max(backoff_first_s, backoff_max_s))
        # What is on its way is never dropped, so leave room for newer events beside it.
        self._outbox_limits = (
            max_pending, max_pending_bytes, min(batch_size, max(1, max_pending // 2))
        )  # fmt: skip
        self._batch_size = self._outbox_limits[2]
        self._start_empty()
        end_with_the_process(self)

    def _start_empty(self) -> None:
        self._endpoint = Endpoint(self.url, self._timeout_s, self._token)
        self._outbox = Outbox(*self._outbox_limits)
        self._notices = Notices(self.url, self._outbox_limits[0])
        self._sender = Sender(
            self.url, self._endpoint, self._outbox, self._notices, self._batch_size,
            self._linger_s, self._backoff_s,
        )  # fmt: skip
        self._subscriptions: Subscriptions | None = None

    # -- publishing --------------------------------------------------------------------------

    def publish(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        subject: str | None = None,
        id: str | None = None,
        time: datetime | str | None = None,
        dataschema: str | None = None,
        traceparent: str | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
        delay: float | timedelta | None = None,
        at: datetime | str | None = None,
    ) -> RemoteReceipt:
        """Queue an event and return at once; see ``EventBus.publish`` for the parameters.

        A ``delay`` counts from when the bus has taken the event, so it never ends too early.

        Raises EventValidationError, and BusClosedError after ``close``.
        """
        attributes: dict[str, Any] = {
            "subject": subject, "id": id, "time": time, "dataschema": dataschema,
            "traceparent": traceparent, "correlationid": correlationid, "causationid": causationid,
            "extensions": extensions, "max_bytes": self._max_event_bytes,
        }  # fmt: skip
        effects = effects_of(self)
        if delay is not None or at is not None:
            source = source or (self.source if effects is None else effects.source)
            event = Event.create(type, data, source=source, **attributes)
            event = ScheduledEvent.of(event, delay=delay, at=at, is_timed=time is not None)
            return self.publish_event(event)
        if effects is not None:
            return self._already(effects.publish(type, data, source=source, **attributes))
        return self._queue(Event.create(type, data, source=source or self.source, **attributes))

    def publish_event(self, event: Event) -> RemoteReceipt:
        """Queue an event made by ``Event.create``; otherwise as ``publish``."""
        effects = effects_of(self)
        return self._queue(event) if effects is None else self._already(effects.add(event))

    def publish_many(self, events: Iterable[Event | Mapping[str, Any]]) -> RemoteBatchReceipt:
        """Queue several events, all or, when one of them is wrong, none; otherwise as ``publish``.

        They are sent in order, but recorded one by one, not as a whole. A mapping is read as by
        ``Event.from_dict`` and may have ``delay`` or ``at``. Raises EventValidationError, whose
        pointers begin with the index.
        """
        checked = read_events(events, source=self.source, max_bytes=self._max_event_bytes, now=None)
        return RemoteBatchReceipt([self.publish_event(event) for event in checked])

    def cancel(
        self, id: str, *, source: str | None = None, by: str | None = None
    ) -> RemoteCancellation:
        """Take back what is scheduled under ``id``, as ``EventBus.cancel``.

        Everything published before is sent first. Blocks in a plain thread; on an event loop
        ``await`` it. In a handler it is an effect, done with the handler's success; whether there
        was anything is not known then (None).

        Raises EventValidationError, ActorError, BusClosedError, and BusUnavailableError when the
        bus cannot be told.
        """
        errors: list[FieldError] = []
        for name, value in (("id", id), ("source", id if source is None else source)):
            check_attribute(name, value, errors)
        if errors:
            raise EventValidationError(errors)
        wanted = Cancel(id, source, None if by is None else check_actor(by))
        effects = effects_of(self)
        if effects is not None:
            effects.cancel(id, source, wanted.by)
            return RemoteCancellation()
        if self._sender.is_closed:
            raise BusClosedError(f"the client of the bus at {self.url} is closed")

        def ask() -> bool:
            if not self.flush(self._timeout_s):
                raise BusUnavailableError("what was published before cannot be sent")
            return cancel_at(self.url, wanted, self._timeout_s, self._token)

        return RemoteCancellation(ask, is_blocking=not is_on_loop())

    def _already(self, event: Event) -> RemoteReceipt:
        """For an effect of the handler that runs: sent with its success."""
        receipt = RemoteReceipt(event, 0, self._outbox.changed)
        receipt.settle(event)
        return receipt

    def _queue(self, event: Event) -> RemoteReceipt:
        if self.tracing is not None:
            event = self.tracing.created(event)
        with self._outbox.changed:
            if self._sender.is_closed:
                raise BusClosedError(f"the client of the bus at {self.url} is closed")
            receipt = self._outbox.add(event)
            self._sender.start()
            return receipt

    # -- subscribing -------------------------------------------------------------------------

    def subscribe(
        self,
        pattern: str | Pattern,
        handler: Handler,
        *,
        name: str | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        concurrency: int = 16,
    ) -> RemoteSubscription:
        """Have ``handler`` called here with every event whose type matches ``pattern``.

        As ``EventBus.subscribe``: with a name, or a module's function or method as handler, it is
        durable and gets what it missed while it was away; processes that subscribe under the same
        name share the work. Attempts, time-outs and dead letters are kept by the bus; None leaves
        a choice to it. Waits for the bus's first answer, unless on an event loop; when the bus is
        away it is subscribed as soon as it is back.

        Raises PatternError, SubscriptionError, and MissingPackageError without wsproto.
        """
        return self._subscribing().add(pattern, handler, name, max_attempts, timeout, concurrency)

    def on(self, pattern: str | Pattern, **options: Any) -> Callable[[F], F]:
        """``subscribe`` as a decorator, with the same options; the function stays as it is."""
        return decorator(self.subscribe, pattern, options)

    def unsubscribe(self, subscription: RemoteSubscription | str) -> None:
        """End a subscription of this client; a durable one is forgotten by the bus.

        Blocks. Raises SubscriptionError, and BusUnavailableError when the bus cannot be told:
        then the subscription goes on, and this can be called again.
        """
        self._subscribing().remove(subscription)

    def _subscribing(self) -> Subscriptions:
        with self._outbox.changed:
            if self._sender.is_closed:
                raise BusClosedError(f"the client of the bus at {self.url} is closed")
            if self._subscriptions is None:
                self._subscriptions = open_subscriptions(
                    self, self.url, self._timeout_s, self._ping_every_s, self._backoff_s,
                    self._token,
                )  # fmt: skip
            return self._subscriptions

    # -- the end -----------------------------------------------------------------------------

    @property
    def stats(self) -> ClientStats:
        """What has become of the events so far."""
        return self._outbox.stats

    def flush(self, timeout: float | None = None) -> bool:
        """Send now; wait until everything published before is settled.

        That is recorded, refused or dropped. False when it is not after ``timeout`` seconds. It
        blocks, so from a coroutine: ``await asyncio.to_thread(bus.flush, 5.0)``.
        """
        outbox = self._outbox
        with outbox.changed:
            last = outbox.stats.published
            self._sender.hurry(last)
            return outbox.changed.wait_for(lambda: outbox.is_settled_through(last), timeout)

    def close(self, timeout: float = EXIT_TIMEOUT_S) -> bool:
        """Take no more, let running handlers end, send what is pending; up to ``timeout`` s.

        Events that are left are dropped, counted and logged, deliveries are given back to the
        bus. True when nothing had to be dropped. Idempotent.
        """
        return self._close(timeout, is_patient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def _close(self, timeout: float, is_patient: bool) -> bool:
        deadline = time.monotonic() + timeout
        if self._subscriptions is not None:
            self._subscriptions.close(timeout)
        lost = self._sender.close(deadline, is_patient=is_patient)
        self._endpoint.abort()
        if lost:
            self._notices.given_up(lost)
        return not lost

    def close_at_exit(self, timeout: float) -> None:
        """As ``close``, but with a single attempt when the bus is known to be away.

        No process should take longer to end because its spectator has gone.
        """
        self._close(timeout, is_patient=not self._notices.is_away)

    def empty_after_fork(self) -> None:
        """Start afresh in a forked child.

        The parent's thread and connection do not live there, its locks may be held by nobody, and
        its events are its own to send.
        """
        was_closed = self._sender.is_closed
        self._start_empty()
        self._sender.is_closed = was_closed
