"""What runs behind the app for as long as it serves: bus, handlers, live hub, regular checks."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import Flask, current_app

from app.access.access import Access
from app.catalogue import open_catalogue
from app.config import Settings
from app.database import open_log
from app.rebuilds import Rebuilds
from app.retention import Retentions
from app.start_check import StartCheck
from app.tracing import Tracing
from app.transfers import Transfers
from app.vitals import Vitals
from eventbus import EventBus, RetryPolicy
from eventbus.brokers import RELAY_NAME, Bridge, open_broker
from eventbus.catalogue import Catalogue
from eventbus.catalogue.reports import Reports
from eventbus.consumers import ConsumerGroups
from eventbus.errors import BusClosedError, EventBusError, LogLockedError
from eventbus.flow import Flow
from eventbus.log.search import Index
from eventbus.serving import WORK, Serving
from eventbus.threads import start_thread
from handlers import Handlers, HandlerSettings, install
from handlers.addresses import AddressPolicy
from handlers.notify import Notifier, NotifySettings
from handlers.travel import Travels
from handlers.webhook import Webhooks

if TYPE_CHECKING:
    from app.live import LiveHub

STOP_TIMEOUT_S = 2.0
_LOCK_POLL_S = 0.1
# Of the time for stopping, most is for the handlers.
_BRIDGE_STOP_S = 0.3

log = logging.getLogger(__name__)


class Runtime:
    """Starts and stops the parts in the right order, once; they belong to it.

    ``start`` and ``stop`` may be called from any thread, any number of times; ``_lock`` guards
    them. After ``start``, ``bus``, ``access``, ``handlers``, ``notifier``, ``hub``, ``flow``,
    ``consumers``, ``start_check``, ``vitals`` and ``bridge`` are there for good.
    """

    bus: EventBus
    access: Access
    handlers: Handlers
    notifier: Notifier
    webhooks: Webhooks
    hub: LiveHub
    transfers: Transfers
    flow: Flow
    consumers: ConsumerGroups
    start_check: StartCheck
    vitals: Vitals
    bridge: Bridge | None

    def __init__(self, app: Flask, settings: Settings) -> None:
        self.settings = settings
        self._app = app
        self._lock = threading.Lock()
        self._parts: ExitStack | None = None
        self._is_stopped = False
        self._stop_by = 0.0

    @property
    def catalogue(self) -> Catalogue:
        """The declared event types."""
        assert self.bus.catalogue is not None, "the bus of the app is opened with one"
        return self.bus.catalogue

    @property
    def is_started(self) -> bool:
        """Whether the parts are up."""
        return self._parts is not None

    def start(self, wait_for_lock_s: float = 0.0) -> None:
        """Open the log and start all parts; does nothing when they run.

        Waits up to ``wait_for_lock_s`` for another process to give the log free. Raises
        LogLockedError when it does not, BusClosedError after ``stop``, and the errors of the
        parts; then nothing is left running.
        """
        if self.is_started:
            return
        with self._lock:
            if self.is_started:
                return
            if self._is_stopped:
                raise BusClosedError("the server is stopping")
            with ExitStack() as parts:
                self._start_parts(parts, wait_for_lock_s)
                self._parts = parts.pop_all()
            atexit.register(self.stop)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop all parts within about ``timeout_s``; what is acknowledged is on disk before.

        Handlers that still run then are abandoned; their deliveries are tried again at the next
        start.
        """
        with self._lock:
            self._is_stopped = True
            if self._parts is None:
                return
            self._stop_by = time.monotonic() + timeout_s
            parts, self._parts = self._parts, None
            parts.close()
        atexit.unregister(self.stop)

    def close_sockets(self) -> None:
        """Close every WebSocket, which sets their threads free; browsers will reconnect."""
        if self.is_started:
            self.consumers.close()
            self.hub.close()

    def _start_parts(self, parts: ExitStack, wait_for_lock_s: float) -> None:
        from app.live import LiveHub

        settings = self.settings
        tracing = parts.enter_context(ExitStack())  # ends last: the bus's own end is traced, too
        self.bus = bus = _open_bus(settings, wait_for_lock_s)
        parts.callback(lambda: bus.close(max(0.1, self._stop_by - time.monotonic())))
        # Before anything is subscribed: one of identical processes then has all that is together.
        bus.serving.add_duty(WORK, lambda: None, lambda: None)
        if settings.tracing:
            tracing.callback(Tracing(bus).close)
        bus.dispatcher.logs_payloads = settings.log_payloads
        self.vitals = Vitals(bus, settings)
        parts.callback(self.vitals.stopped)
        self.access = access = Access(bus.log, settings)
        access.start()
        parts.callback(access.close)
        # Before the handlers: what they announce first must find its channels.
        base_url = settings.public_url or f"http://{settings.bind}"
        self.notifier = Notifier(bus, notify_settings(settings), base_url, settings.source)
        self.notifier.start()
        origin = urlsplit(settings.public_url).hostname or ""
        self.webhooks = Webhooks(bus, settings.webhook_networks or AddressPolicy(), origin)
        self.webhooks.start()
        self.handlers = install(bus, live_handler_settings(settings))
        background: list[Callable[[], None]] = []
        parts.callback(_at_once, background)
        self.transfers = Transfers(bus.log)
        self.rebuilds = Rebuilds(bus, handler_settings(settings))
        background += (self.rebuilds.close, self.transfers.close)
        self.index = Index(bus.log)
        self.index.start()  # before retention, of which it must hear
        background.append(self.index.close)
        self.retentions = Retentions(bus, settings, handler_settings(settings))
        self.retentions.start()
        background.append(self.retentions.close)
        self.flow = Flow(bus)
        self.flow.start()
        background.append(self.flow.close)
        self.reports = Reports(bus.log, self.catalogue)
        self.reports.start()
        background.append(self.reports.close)
        self.travels = Travels(
            bus, handler_settings(settings), most_bytes=settings.travel_max_bytes
        )
        self.travels.start()
        background.append(self.travels.close)
        # Before the check, after which nothing tells any more that the process before crashed.
        self.vitals.start()
        background.append(self.vitals.close)
        self.start_check = StartCheck(bus)
        self.start_check.start()
        background.append(self.start_check.close)
        checks = _Checks(self.handlers, bus.serving, settings.check_s)
        checks.start()
        background.append(checks.close)
        self.hub = LiveHub(bus, self.handlers, self._app, settings, lambda: access.panel_mask)
        self.hub.start()
        parts.callback(self.hub.close)
        self.consumers = ConsumerGroups(bus, settings.consumer_grace_s)
        self.consumers.start()
        parts.callback(self.consumers.close)
        # Last, when everything is there that handles what comes in.
        self.bridge = open_bridge(bus, settings)
        if self.bridge is not None:
            self.bridge.start()
            parts.callback(self.bridge.close, _BRIDGE_STOP_S)


def _at_once(closes: list[Callable[[], None]]) -> None:
    """Close background work together: each may be in the middle of a step, and time is short."""
    threads = []
    for close in closes:
        thread = threading.Thread(target=_closed, args=(close,), name="close", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # an interpreter that ends may start none any more
            _closed(close)
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()


def _closed(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception:
        log.exception("background work did not end as it should")


def open_bridge(bus: EventBus, settings: Settings) -> Bridge | None:
    """The connection to the broker that ``settings`` name, not started; None without one."""
    if settings.broker is None:
        return None
    if not settings.broker_send and any(s.name == RELAY_NAME for s in bus.log.subscribers()):
        bus.unsubscribe(RELAY_NAME)  # nothing is to be kept for a broker that is to get nothing
    broker = open_broker(settings.broker, name=settings.broker_name, take=settings.broker_take)
    return Bridge(
        bus,
        broker,
        send=settings.broker_send,
        take=settings.broker_take,
        max_event_bytes=settings.max_event_bytes,
    )


def handler_settings(settings: Settings) -> HandlerSettings:
    """What of the settings is for the built-in handlers."""
    return HandlerSettings(
        max_retries=settings.max_retries,
        retry_delays=settings.retry_delays,
        stalled_min_s=settings.stalled_min_s,
        stalled_factor=settings.stalled_factor,
        stalled_quiet_s=settings.stalled_quiet_s,
        metric_rules=settings.metric_rules,
    )


def live_handler_settings(settings: Settings) -> HandlerSettings:
    """The same for handlers of events that come: with somebody to tell, they announce alerts."""
    return replace(handler_settings(settings), announces_alerts=bool(settings.channels))


def notify_settings(settings: Settings) -> NotifySettings:
    """What of the settings is for notifications."""
    return NotifySettings(
        channels=settings.channels,
        server=settings.mail_server,
        mail_from=settings.mail_from,
        limit=settings.notify_limit,
        max_attempts=settings.notify_attempts,
        timeout_s=settings.notify_timeout_s,
    )


class _Checks:
    """One thread, ``handler-checks``, for what time alone brings about; every ``interval_s`` s."""

    def __init__(self, handlers: Handlers, serving: Serving, interval_s: float) -> None:
        self._handlers = handlers
        self._serving = serving
        self._interval_s = interval_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="handler-checks", daemon=True)

    def start(self) -> None:
        start_thread(self._thread)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=0.5)

    def _run(self) -> None:
        while not self._closing.wait(self._interval_s):
            if not self._serving.does(WORK):
                continue
            try:
                self._handlers.check(datetime.now(UTC))
            except EventBusError as error:
                # A full disk must not end the watch; the next look finds the same ones.
                log.warning("looking for stalled evaluations and ended mutes failed: %s", error)


def runtime() -> Runtime:
    """The running parts of the current app, started when they were not."""
    found = cast(Runtime, current_app.extensions["eventbus"])
    found.start()
    return found


def _open_bus(settings: Settings, wait_for_lock_s: float) -> EventBus:
    deadline = time.monotonic() + wait_for_lock_s
    catalogue = open_catalogue(settings)
    while True:
        try:
            log = open_log(settings)
            break
        except LogLockedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOCK_POLL_S)
    try:
        return EventBus(
            log,
            source=settings.source,
            retry=RetryPolicy(
                max_attempts=settings.max_attempts,
                timeout_s=settings.handler_timeout_s,
                base_delay_s=settings.backoff_first_s,
                max_delay_s=settings.backoff_max_s,
            ),
            max_event_bytes=settings.max_event_bytes,
            catalogue=catalogue,
            share_subscriptions=settings.share_subscriptions,
        )
    except BaseException:
        log.close()
        raise
