"""A view: the clients that are shown the same, and the bytes that all of them get."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from app.live.client import Client, Kind, ViewKey
from app.live.fold import Flood, RowBudget, rows_of
from app.live.fragments import Fragments
from app.live.page import position_frame, rows_frame
from app.live.stream import EventTexts, events_frames
from eventbus import Event, Pattern
from eventbus.lens import Lens, shown

POSITION_EVERY_S = 1.0
"""How often a view that matched nothing is told the position."""

Part = tuple[bytes, int]
"""Whole frames, and the position that a client has reached with them."""


class Renderer(Protocol):
    """Makes the bytes of one view; belongs to the hub's thread."""

    def news(self, events: Sequence[Event], position: int) -> Iterator[Part]:
        """What shows ``events`` (ascending, at least one) and brings a client to ``position``."""

    def position(self, position: int) -> Part:
        """What says that nothing matched up to ``position``."""


class PageRenderer:
    """HTML for the live page."""

    def __init__(self, pattern: Pattern, fragments: Fragments) -> None:
        self._pattern = pattern
        self._fragments = fragments
        self._budget = RowBudget()
        self._flood = Flood()

    def news(self, events: Sequence[Event], position: int) -> Iterator[Part]:
        is_flood = self._flood.after(len(events))
        rows = rows_of(events, int(time.time()), self._pattern, self._budget.left, is_flood)
        self._budget.spend(len(rows))
        yield rows_frame(self._fragments, rows, len(events), position), position

    def position(self, position: int) -> Part:
        return position_frame(position), position


class JsonRenderer:
    """The events themselves, for programs."""

    def __init__(self, texts: EventTexts) -> None:
        self._texts = texts

    def news(self, events: Sequence[Event], position: int) -> Iterator[Part]:
        return events_frames(events, position, self._texts)

    def position(self, position: int) -> Part:
        return next(events_frames((), position, self._texts))


class View:
    """One kind and pattern with its members; guarded by the hub's lock.

    What is new is rendered once and the same bytes are offered to every member; one that has no
    room for them falls behind and is a member no more.
    """

    def __init__(
        self,
        kind: Kind,
        pattern: Pattern,
        renderer: Renderer,
        position: int,
        lens: Lens | None = None,
    ) -> None:
        """``position`` is where its first member joins, ``lens`` what all see events through."""
        self.kind = kind
        self.pattern = pattern
        self._lens = lens
        self.members: set[Client] = set()
        self._renderer = renderer
        self._told = position
        self._told_at = -POSITION_EVERY_S

    @property
    def key(self) -> ViewKey:
        """What its members share."""
        return (self.kind, self.pattern.text, self._lens is not None)

    def show(self, events: Sequence[Event], before: int, position: int, extra: bytes = b"") -> None:
        """Bring all members from position ``before`` to ``position``, then add ``extra``."""
        parts = self._parts(events, position)
        if extra:
            parts = itertools.chain(parts, ((extra, position),))
        ready = list(parts)
        if not ready:
            return
        for client in list(self.members):
            reached = before
            for data, at in ready:
                if not client.sock.offer(data):
                    self.members.discard(client)
                    client.fall_behind(reached)
                    break
                reached = at

    def drop_members(self, position: int) -> None:
        """Let everybody who has seen everything up to ``position`` read on for themselves."""
        for client in self.members:
            client.fall_behind(position)
        self.members.clear()

    def owes_position(self, position: int) -> bool:
        """Whether members have not been told ``position`` yet."""
        return self._told != position

    def _parts(self, events: Sequence[Event], position: int) -> Iterator[Part]:
        now = time.monotonic()
        if events:
            self._told, self._told_at = position, now
            if self._lens is not None:
                events = [shown(self._lens, event) for event in events]
            return self._renderer.news(events, position)
        if self._told != position and now - self._told_at >= POSITION_EVERY_S:
            self._told, self._told_at = position, now
            return iter((self._renderer.position(position),))
        return iter(())
