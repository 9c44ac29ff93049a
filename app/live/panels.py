"""The panels beside the stream: rendered once for all pages, when something changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.live.fragments import PANELS, Fragments
from app.live.traffic import Traffic
from app.live.trends import Trends
from app.live.type_tree import type_tree
from eventbus.errors import LogError
from eventbus.lens import Lens, looking_through
from eventbus.threads import start_thread

if TYPE_CHECKING:
    from eventbus import EventBus
    from eventbus.trouble import Trouble
    from handlers import Handlers
    from handlers.alert import Alert

PERIOD_S = 0.25
"""Numbers that change more often than this cannot be read."""
_FLOOD_PER_S = 500.0
_FLOOD_PERIOD_S = 0.5
"""Then all of them change each time, and a browser has enough to draw."""
_RATE_PERIOD_S = 1.0
_SLOW_PERIOD_S = 2.0
"""The tree and the charts are some 20 KB, and nobody reads them as closely as a counter."""
_RECOUNT_S = 30.0
_AFTER_FAILURE_S = 5.0
_MOST_ITEMS = 50
_MOST_IN_BADGE = 100

Panels = list[tuple[str, str]]
"""Names with their HTML."""

log = logging.getLogger(__name__)


def slow_contexts(traffic: Traffic, trends: Trends) -> dict[str, dict[str, Any]]:
    """What the panels that show a stretch of time are rendered with, by panel."""
    return {
        "types": {"tree": type_tree(traffic.types())},
        "trends": {"trend": trends.now()},
    }


def panel_contexts(bus: EventBus, handlers: Handlers, rate: float) -> dict[str, dict[str, Any]]:
    """What each of the other panels' partials is rendered with, by panel."""
    now = datetime.now(UTC)
    counters = handlers.counters()
    return {
        "troubles": {"troubles": bus.troubles()},
        "counters": {
            "counters": counters,
            "rate": rate,
            "inbox": handlers.inbox.open_count(_MOST_IN_BADGE) + counters["dead_letters"],
        },
        "alerts": {"alerts": critical_alerts(handlers)},
        "active": {
            "evaluations": handlers.evaluations.active(_MOST_ITEMS),
            "total": counters["active"],
            "now": now,
        },
        "retries": {
            "evaluations": handlers.evaluations.retrying(_MOST_ITEMS),
            "deliveries": bus.log.list_deliveries("retrying", limit=_MOST_ITEMS).deliveries,
            "most_attempts": most_attempts(bus),
            "now": now,
        },
    }


def most_attempts(bus: EventBus) -> dict[str, int]:
    """How often each subscription that has a handler here tries a delivery."""
    lanes = {**bus.serving.lanes(), **bus.dispatcher.lanes()}
    return {name: lane.subscription.policy.max_attempts for name, lane in lanes.items()}


def critical_alerts(handlers: Handlers) -> list[Alert]:
    """The open alerts that stand on top of the page, the newest first."""
    return [alert for alert in handlers.alerts.open(_MOST_ITEMS) if alert.severity == "critical"]


class PanelWatch:
    """One thread, ``eventbus-panels``, apart from the hub so that no query holds up the stream.

    At most four times a second, in a flood two, and only while ``has_pages``, it looks whether the
    log's version or the rate changed, or a page came, and hands ``show`` the panels that changed
    and all of them.
    """

    def __init__(
        self,
        fragments: Fragments,
        bus: EventBus,
        handlers: Handlers,
        rate: Callable[[], float],
        traffic: Traffic,
        trends: Trends,
        has_pages: Callable[[], bool],
        show: Callable[[Panels, Panels], None],
        lens: Callable[[], Lens | None] = lambda: None,
    ) -> None:
        self._fragments = fragments
        self._bus = bus
        self._handlers = handlers
        self._rate = rate
        self._traffic = traffic
        self._trends = trends
        self._has_pages = has_pages
        self._show = show
        self._lens = lens
        self._shown_lens: Lens | None = None
        self._shown: dict[str, str] = {}
        self._version = -1
        self._shown_rate = -1.0
        self._shown_at = 0.0
        self._shown_slow_at = -_SLOW_PERIOD_S
        self._counted_at = 0.0
        self._shown_troubles: list[Trouble] = []
        self._is_closing = False
        self._asked = threading.Event()
        self._wake = threading.Event()
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-panels", daemon=True)

    def start(self) -> None:
        start_thread(self._thread)

    def wake(self) -> None:
        """A page came, which has no panels yet."""
        self._asked.set()
        self._wake.set()

    def close(self) -> None:
        """Ask the thread to end; it may be in the middle of a query."""
        self._is_closing = True
        self._wake.set()
        self._pause.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, when it was started."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._traffic.recount()
            self._trends.fill()
        except LogError as error:
            # The tree and the charts then begin with what comes; the rest goes on as ever.
            log.warning("the log could not be counted by type: %s", error)
        except Exception:
            log.exception("the log could not be counted by type")
        while not self._is_closing:
            if not self._has_pages():
                self._wake.wait()
                self._wake.clear()
                continue
            try:
                self._look()
                self._pause.wait(PERIOD_S if self._rate() < _FLOOD_PER_S else _FLOOD_PERIOD_S)
            except Exception as error:
                # A read that failed once must not end the panels for good.
                is_known = isinstance(error, LogError)  # the log says itself that it failed
                log.warning("the panels could not be rendered: %s", error, exc_info=not is_known)
                self._asked.set()
                self._pause.wait(_AFTER_FAILURE_S)

    def _look(self) -> None:
        is_asked = self._asked.is_set()
        if is_asked:
            self._asked.clear()  # before looking, so that nobody who asks meanwhile is forgotten
        changed: Panels = []
        is_slow_due = time.monotonic() - self._shown_slow_at >= _SLOW_PERIOD_S
        if is_slow_due or self._is_due():
            version, rate, now = self._bus.log.version, self._rate(), time.monotonic()
            rendered = {**self._shown, **self._rendered(rate, is_slow_due)}
            if self._shown:  # else nobody has any panel yet, and those who asked get all
                changed = [item for item in rendered.items() if item not in self._shown.items()]
            self._version, self._shown_rate, self._shown_at = version, rate, now
            self._shown = rendered
        if changed or is_asked:
            self._show(changed, list(self._shown.items()))

    def _rendered(self, rate: float, with_slow: bool) -> dict[str, str]:
        self._shown_troubles = self._bus.troubles()
        try:
            self._shown_lens = self._lens()
            with looking_through(self._shown_lens):
                contexts = panel_contexts(self._bus, self._handlers, rate)
            if with_slow:
                contexts |= self._slow_contexts()
        except LogError as error:
            # What cannot be read stays as it was; that it cannot is what people have to see.
            log.error("the panels cannot be read: %s", error)
            contexts = {"troubles": {"troubles": self._bus.troubles()}}
        names = [name for name in PANELS if name in contexts]
        return {name: self._fragments.panel(name, contexts[name]) for name in names}

    def _slow_contexts(self) -> dict[str, dict[str, Any]]:
        now = self._shown_slow_at = time.monotonic()
        if now - self._counted_at >= _RECOUNT_S:
            self._counted_at = now
            self._traffic.recount()
        return slow_contexts(self._traffic, self._trends)

    def _is_due(self) -> bool:
        if self._bus.troubles() != self._shown_troubles or self._lens() is not self._shown_lens:
            return True
        if self._bus.log.version != self._version:
            return True
        is_rate_old = time.monotonic() - self._shown_at >= _RATE_PERIOD_S
        return is_rate_old and self._rate() != self._shown_rate
