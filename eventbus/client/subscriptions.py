"""The subscribing side of RemoteEventBus: the thread that its subscriptions share."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import secrets
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from eventbus.client.consumer import ConsumerOptions, RemoteConsumer
from eventbus.client.endpoint import delete_subscription
from eventbus.client.link import LinkSettings
from eventbus.client.stream import RemoteStream, StreamOptions
from eventbus.errors import BusClosedError, SubscriptionError
from eventbus.event import Event
from eventbus.patterns import Pattern
from eventbus.subscription import Handler, RetryPolicy, check_options, stable_name
from eventbus.threads import start_thread
from eventbus.workers import WorkerPool

log = logging.getLogger("eventbus.client")

_CLOSE_GRACE_S = 1.5
_JOIN_S = 0.5
_MAIN = "__main__:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class RemoteSubscription:
    """A subscription at a bus in another process; ``is_durable`` ones get what they missed."""

    name: str
    pattern: Pattern
    is_durable: bool
    _service: RemoteConsumer | RemoteStream = field(repr=False)

    @property
    def is_ready(self) -> bool:
        """Whether the bus serves it now."""
        return self._service.link.is_ready.is_set()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Block until the bus serves it; False when that has not come after ``timeout`` s."""
        return self._service.link.is_ready.wait(timeout)


class Subscriptions:
    """Owns the daemon thread "eventbus-subscriptions": one loop for connections and handlers.

    Async handlers run on it, the others in "eventbus-worker" threads. ``_lock`` guards what is
    subscribed; the methods may be called from any thread but that one.
    """

    def __init__(
        self, settings: LinkSettings, owner: object, publish: Callable[[list[Event]], Any]
    ) -> None:
        """``owner`` is the client; ``publish`` its way for what nameless handlers publish."""
        self._settings = settings
        self._owner = owner
        self._publish = publish
        self._lock = threading.Lock()
        self._by_name: dict[str, RemoteSubscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._pool = WorkerPool()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, name="eventbus-subscriptions", daemon=True
        )
        start_thread(self._thread)

    def add(
        self,
        pattern: str | Pattern,
        handler: Handler,
        name: str | None,
        max_attempts: int | None,
        timeout: float | None,
        concurrency: int,
    ) -> RemoteSubscription:
        """As RemoteEventBus.subscribe."""
        pattern = Pattern(pattern) if isinstance(pattern, str) else pattern
        check_options(handler, name, concurrency, max_attempts, timeout)
        policy = RetryPolicy()
        policy = replace(
            policy,
            max_attempts=policy.max_attempts if max_attempts is None else max_attempts,
            timeout_s=policy.timeout_s if timeout is None else timeout,
        )
        with self._lock:
            if self._is_closed:
                raise BusClosedError("the client is closed; nothing can be subscribed")
            chosen, is_durable = self._name_for(handler, name, pattern)
            service: RemoteConsumer | RemoteStream
            if is_durable:
                service = RemoteConsumer(
                    ConsumerOptions(
                        chosen, pattern.text, handler, concurrency, max_attempts, timeout
                    ),
                    self._settings, self._pool, self._owner,
                )  # fmt: skip
            else:
                service = RemoteStream(
                    StreamOptions(chosen, pattern.text, handler, concurrency, policy),
                    self._settings, self._pool, self._owner, self._publish,
                )  # fmt: skip
            subscription = RemoteSubscription(chosen, pattern, is_durable, service)
            self._by_name[chosen] = subscription
        self._loop.call_soon_threadsafe(self._start, service)
        self._await_first(subscription)
        return subscription

    def remove(self, subscription: RemoteSubscription | str) -> None:
        """As RemoteEventBus.unsubscribe."""
        self._check_thread()
        name = subscription if isinstance(subscription, str) else subscription.name
        with self._lock:
            known = self._by_name.get(name)
        if known is None:
            raise SubscriptionError(f"no subscription of this client is named {name!r}")
        # The bus first: when it is away, all goes on as before, and this can be repeated.
        if known.is_durable and not known._service.link.is_ended:
            known._service.link.is_ending = True
            try:
                self._end_at_bus(name)
            except BaseException:
                known._service.link.is_ending = False
                raise
        with self._lock:
            if self._by_name.get(name) is known:
                del self._by_name[name]
        try:
            self._call(known._service.close(0.0), _CLOSE_GRACE_S)
        except concurrent.futures.TimeoutError:
            log.warning("a handler blocks the client's loop; %s ends after it", name)

    def _end_at_bus(self, name: str) -> None:
        settings = self._settings
        delete_subscription(settings.url, name, settings.timeout_s, settings.token)

    def close(self, timeout_s: float) -> None:
        """Take no more, let running handlers end and be answered, stop the thread."""
        self._check_thread()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            known = list(self._by_name.values())
        try:
            self._call(self._close_all(known, timeout_s), timeout_s + _CLOSE_GRACE_S)
        except concurrent.futures.TimeoutError:
            log.warning("a handler blocks the client's loop; closing without it")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_S)
        self._pool.close()

    def _name_for(self, handler: Handler, name: str | None, pattern: Pattern) -> tuple[str, bool]:
        if name is None:
            name = stable_name(handler)
            if name is None:
                log.info(
                    "a handler for %s has no stable name (a lambda or closure): it gets what is "
                    "published while it lives; give it a name= to make it durable", pattern,
                )  # fmt: skip
                return f"ephemeral-{secrets.token_hex(8)}", False
            if name.startswith(_MAIN):
                raise SubscriptionError(
                    f"{name[len(_MAIN) :]} is in the main module, whose functions many processes "
                    "may call the same; give the subscription a name="
                )
        if name in self._by_name:
            raise SubscriptionError(f"the name {name!r} is taken by another subscription")
        return name, True

    def _await_first(self, subscription: RemoteSubscription) -> None:
        """Learn what the bus says, but do not insist; on a loop do not wait for it at all."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return
        try:
            subscription._service.link.first.result(self._settings.timeout_s)
        except concurrent.futures.TimeoutError:
            return
        except SubscriptionError:
            with self._lock:
                self._by_name.pop(subscription.name, None)
            self._call(subscription._service.close(0.0), _CLOSE_GRACE_S)
            raise

    def _check_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise SubscriptionError(
                "this waits for the handler that calls it; from an async handler use "
                "asyncio.to_thread"
            )

    def _call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(timeout_s)

    # -- on the loop -------------------------------------------------------------------------

    def _start(self, service: RemoteConsumer | RemoteStream) -> None:
        task = self._loop.create_task(service.link.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_all(self, known: list[RemoteSubscription], timeout_s: float) -> None:
        await asyncio.gather(*(s._service.close(timeout_s) for s in known))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_JOIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._is_closed:
                try:
                    self._loop.run_forever()
                except (SystemExit, KeyboardInterrupt):  # of a task that a handler started
                    log.exception("a task on the client's loop tried to end the process")
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self._loop.close()
