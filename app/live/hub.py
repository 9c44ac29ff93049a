"""The live hub: takes what was recorded and writes it to every open WebSocket."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask

from app.config import Settings
from app.live.client import Client, Kind, ViewKey
from app.live.feed import Batch, Feed
from app.live.fragments import Fragments
from app.live.page import panels_frame
from app.live.panels import Panels, PanelWatch
from app.live.stream import EventTexts
from app.live.traffic import Traffic
from app.live.trends import Trends
from app.live.view import POSITION_EVERY_S, JsonRenderer, PageRenderer, Renderer, View
from app.rate import RateMeter
from eventbus.lens import Lens
from eventbus.patterns import PatternIndex
from eventbus.threads import start_thread

if TYPE_CHECKING:
    from eventbus import Event, EventBus
    from handlers import Handlers

_CLOSE_S = 0.8
_JOIN_S = 0.05
_LEAST_REST = 0.3  # of a tick: a hub that is late must not take the whole processor
_NO_COUNTS: dict[Kind, int] = {"page": 0, "json": 0}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubStats:
    """How the hub does: ``open`` connections by kind, ``places`` that are taken (consumers have
    some, too), how much waits for slow clients, and since the start how often one fell behind its
    view and was refused for want of a place."""

    open: dict[Kind, int]
    places: int
    views: int
    backlog_bytes: int
    fallen_count: int
    refused_count: int
    position: int
    cpu_s: float


class LiveHub:
    """Owns the views and one thread, ``eventbus-hub``, which sleeps while nothing happens.

    Every tick (``settings.live_tick_ms``) each view renders what is new, once, and writes it
    without ever waiting to the sockets of its members. Reading the log for one client, and waiting
    for one, are done by that client's own request thread (``Session``), which then joins a view
    at exactly the hub's position.

    ``_lock`` guards views, members, clients, slots, ``position`` and the panels; rendering and
    writing happen under it, so that nobody can join between the two.
    """

    def __init__(
        self,
        bus: EventBus,
        handlers: Handlers,
        app: Flask,
        settings: Settings,
        panel_lens: Callable[[], Lens | None] = lambda: None,
    ) -> None:
        """``panel_lens`` is what the panels, which are made once for all, are seen through."""
        self.boot = bus.log.channel[-8:] or secrets.token_hex(4)
        """Tells one start of the server from another; processes that share a log are one server."""
        self.log = bus.log
        self.position = 0
        """Everything up to this sequence was written to the members of all views."""
        self._max_sockets = settings.max_sockets
        self._tick_s = settings.live_tick_ms / 1000
        self.traffic = Traffic(bus.log)
        self.trends = Trends(bus.log, handlers, self.traffic)
        self._rate = RateMeter()
        self._feed = Feed(bus.log, self._news)
        # Of all views; what is seen through a lens is kept apart: events are equal by their ids.
        self._fragments = {is_masked: Fragments(app.jinja_env) for is_masked in (False, True)}
        self._texts = {is_masked: EventTexts() for is_masked in (False, True)}
        self.panel_lens = panel_lens
        self._panel_watch = PanelWatch(
            Fragments(app.jinja_env), bus, handlers, self.rate, self.traffic, self.trends,
            self._has_pages, self._set_panels, panel_lens,
        )  # fmt: skip
        self._lock = threading.Condition()
        self._views: dict[ViewKey, View] = {}
        self._index: PatternIndex[View] = PatternIndex()
        self._clients: set[Client] = set()
        self._slot_count = 0
        self._refused_count = 0
        self._fallen_count = 0  # of the clients that have left
        self._is_closing = False
        self._new_panels = b""
        self._without_panels: set[Client] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventbus-hub", daemon=True)

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin at the log's end."""
        self.log.add_listener(self._rate.count)
        self.traffic.open()
        self._feed.open()
        self.position = self._feed.position
        start_thread(self._thread)
        self._panel_watch.start()

    def close(self) -> None:
        """Send everybody away with a close frame 1012 (service restart); ends within 1 s."""
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
            for client in self._clients:
                client.dismiss()
            self._lock.notify_all()
        end = time.monotonic() + _CLOSE_S
        self._stop.set()
        self._wake.set()
        self._panel_watch.close()
        self._feed.close()
        self.log.remove_listener(self._rate.count)
        self.traffic.close()
        with self._lock:
            self._lock.wait_for(lambda: not self._clients, timeout=end - time.monotonic())
            for client in self._clients:
                client.sock.close()
        if self._thread.is_alive():
            self._thread.join(max(_JOIN_S, end - time.monotonic()))
        self._panel_watch.join(max(_JOIN_S, end - time.monotonic()))

    def rate(self) -> float:
        """Events recorded a second, over the last 10 s."""
        return self._rate.per_second()

    def cpu_s(self) -> float:
        """Processor time that the hub's thread has used so far."""
        assert self._thread.ident is not None, "the hub was not started"
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def stats(self) -> HubStats:
        """How it does now."""
        with self._lock:
            clients = list(self._clients)
            counts = (self._slot_count, len(self._views), self._refused_count, self.position)
            fallen_count = self._fallen_count + sum(client.fallen_count for client in clients)
        open_by_kind = dict(_NO_COUNTS)
        for client in clients:
            open_by_kind[client.kind] += 1
        places, views, refused_count, position = counts
        return HubStats(
            open_by_kind, places, views, sum(client.sock.backlog_bytes for client in clients),
            fallen_count, refused_count, position, self.cpu_s(),
        )  # fmt: skip

    # -- for the sessions --------------------------------------------------------------------

    @property
    def is_closing(self) -> bool:
        """Whether nobody may come in any more."""
        return self._is_closing

    def take_slot(self) -> bool:
        """Reserve room for one WebSocket; False when all is taken, or while closing."""
        with self._lock:
            if self._is_closing or self._slot_count >= self._max_sockets:
                self._refused_count += 1
                return False
            self._slot_count += 1
            return True

    def free_slot(self) -> None:
        """Give the room back."""
        with self._lock:
            self._slot_count -= 1

    def enter(self, client: Client) -> None:
        """Know the client, so that ``close`` can dismiss it."""
        with self._lock:
            self._clients.add(client)
            if self._is_closing:
                client.dismiss()

    def leave(self, client: Client) -> None:
        """Forget the client; from here on nothing is written to it."""
        with self._lock:
            if client in self._clients:
                self._clients.discard(client)
                self._fallen_count += client.fallen_count
            view = self._views.get(client.view_key)
            if view is not None:
                view.members.discard(client)
                self._drop_if_empty(view)
            client.is_joined = False
            self._without_panels.discard(client)
            self._lock.notify_all()

    def join(self, client: Client) -> bool:
        """Make the client a member of its view, if it is exactly at the hub's position."""
        with self._lock:
            if client.position != self.position or client.must_go:
                return False
            key = client.view_key
            view = self._views.get(key)
            if view is None:
                view = self._views[key] = self._new_view(client)
                self._index.add(client.pattern, view)
            view.members.add(client)
            client.is_joined = True
            if client.kind == "page":
                self._without_panels.add(client)
                self._panel_watch.wake()
            return True

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Block until the hub has reached ``position``; False when it did not in time."""
        with self._lock:
            return self._lock.wait_for(
                lambda: self.position >= position or self._is_closing, timeout_s
            )

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        owes_position = False
        while not self._is_closing:
            self._wake.wait(POSITION_EVERY_S if owes_position else None)
            self._wake.clear()
            started = time.monotonic()
            try:
                owes_position = self._tick()
            except Exception:
                # The log could not be read. Nobody was told anything; the next tick tries again.
                log.exception("a tick of the live hub failed")
                owes_position = True
            took = time.monotonic() - started
            self._stop.wait(max(self._tick_s - took, self._tick_s * _LEAST_REST))

    def _tick(self) -> bool:
        """Show everything that is new; returns whether a view has not been told the position."""
        while not self._is_closing:
            batch = self._feed.take()
            with self._lock:
                self._show(batch or Batch([], self.position))
            if batch is None:
                break
        with self._lock:
            for view in [view for view in self._views.values() if not view.members]:
                self._drop_if_empty(view)
            return any(view.owes_position(self.position) for view in self._views.values())

    def _show(self, batch: Batch) -> None:
        events_of: dict[View, list[Event]] = {}
        for event in batch.events:
            for view in self._index.match(event.type):
                events_of.setdefault(view, []).append(event)
        before, self.position = self.position, batch.position
        panels, self._new_panels = self._new_panels, b""
        for view in self._views.values():
            extra = panels if view.kind == "page" else b""
            try:
                view.show(events_of.get(view, ()), before, batch.position, extra)
            except Exception:
                # A template that breaks on one event must not cost the others anything, nor these
                # members a hole: each reads for itself from the log what it was not shown.
                log.exception("the view %s %r failed", view.kind, view.pattern.text)
                view.drop_members(before)
        for kept in (*self._fragments.values(), *self._texts.values()):
            kept.forget()
        self._lock.notify_all()

    def _new_view(self, client: Client) -> View:
        kind, pattern, is_masked = client.kind, client.pattern, client.lens is not None
        renderer: Renderer = (
            PageRenderer(pattern, self._fragments[is_masked])
            if kind == "page"
            else JsonRenderer(self._texts[is_masked])
        )
        return View(kind, pattern, renderer, self.position, client.lens)

    def _drop_if_empty(self, view: View) -> None:
        if not view.members and self._views.get(view.key) is view:
            del self._views[view.key]
            self._index.remove(view.pattern, view)

    # -- what wakes it -----------------------------------------------------------------------

    def _news(self) -> None:
        if not self._wake.is_set():
            self._wake.set()

    def _has_pages(self) -> bool:
        with self._lock:
            return any(v.kind == "page" and v.members for v in self._views.values())

    def _set_panels(self, changed: Panels, panels: Panels) -> None:
        everything = panels_frame(panels)
        with self._lock:
            if changed:
                # What no tick has sent yet is older, but may hold other panels.
                self._new_panels += panels_frame(changed)
            for client in self._without_panels:
                if client.is_joined and not client.sock.offer(everything):
                    self._views[client.view_key].members.discard(client)
                    client.fall_behind(self.position)
            self._without_panels.clear()
        if changed:
            self._news()
