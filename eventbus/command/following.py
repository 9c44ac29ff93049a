"""The live part of `eventbus tail`: the bus's stream, taken up again wherever it broke off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from eventbus.client.link import Link, LinkSettings
from eventbus.client.websocket import NORMAL, WebSocket
from eventbus.command.context import Context
from eventbus.command.errors import CommandError, ServerRefusedError
from eventbus.command.notes import client_notes
from eventbus.command.screen import Screen
from eventbus.command.server import Server
from eventbus.errors import HandshakeRefusedError, SubscriptionError

if TYPE_CHECKING:
    from eventbus.command.tail import Printer

_PING_EVERY_S = 20.0
_BACKOFF_S = (0.25, 5.0)
_LOOK_S = 2.0
_ASK_S = 2.0
_BEHIND = 1_000  # events; less is what is on its way anyway
_GOODBYE_S = 1.0


def follow(context: Context, printer: Printer, position: int) -> int | None:
    """Write what is recorded after ``position`` until there is enough, or Ctrl-C."""
    following = Following(context, printer, position)
    screen = context.screen
    if screen.is_tty and screen.has_progress and not printer.shown:
        what = context.options.pattern or "all events"
        screen.note(screen.paint_note(f"following {what} after #{position}; Ctrl-C ends it", "dim"))
    with client_notes(screen):
        asyncio.run(following.run())
    return None


class Following:
    """A link's service; belongs to its loop. ``position``: everything up to there has come."""

    def __init__(self, context: Context, printer: Printer, position: int) -> None:
        server = context.server
        settings = LinkSettings(
            server.url, server.timeout_s, _PING_EVERY_S, *_BACKOFF_S, server.token
        )
        self._link = Link(settings, "tail", self)
        self._screen: Screen = context.screen
        self._pattern = context.options.pattern or "#"
        self._printer = printer
        self._position = position
        self._attempts = 0
        self._unwritten: OSError | None = None  # why nothing more can be written
        self._is_lost = False  # the bus does not know the position: another log, or an older one
        # For questions beside the stream; a connection belongs to one thread at a time.
        self._asking = Server(server.url, server.token, _ASK_S)
        self._ask_lock = asyncio.Lock()
        self._told_behind = False

    async def run(self) -> None:
        """Raises ServerRefusedError when the bus will not have it, OSError of the output."""
        looking = asyncio.create_task(self._look())
        serving = asyncio.create_task(self._link.run())
        try:
            first = asyncio.wrap_future(self._link.first)
            await asyncio.wait((first, serving), return_when=asyncio.FIRST_COMPLETED)
            if first.done() and isinstance(first.exception(), SubscriptionError):
                raise ServerRefusedError(400, str(first.exception()))
            await serving
            if self._unwritten is not None:
                raise self._unwritten
        finally:
            self._link.close()
            for task in (looking, serving):
                task.cancel()
            await asyncio.gather(looking, serving, return_exceptions=True)
            self._asking.close()

    def path(self) -> str:
        self._attempts += 1
        query: dict[str, object] = {"type": self._pattern}
        if not self._is_lost:
            query["after"] = self._position
        return f"/api/stream?{urlencode(query)}"

    def refused(self, error: HandshakeRefusedError) -> None:
        if error.status == 400 and self._attempts > 1:
            self._note(
                f"tail was at #{self._position}, which the bus does not know ({error.detail}): "
                "it goes on at the log's end"
            )
            self._is_lost = True

    async def serve(self, socket: WebSocket, ready: Callable[[], None]) -> None:
        """Write frames until the connection ends, or there are enough."""
        # What lies up to here was missed, the rest is live.
        is_again = self._attempts > 1 and not self._is_lost
        gap = await self._newest() if is_again else None
        begin, filled = self._position, 0
        while True:
            frame = json.loads(await socket.receive())
            if "removed_upto" in frame:
                self._note(
                    f"of what came after #{frame['sequence']}, retention has removed some, up to "
                    f"#{frame['removed_upto']}"
                )
            try:
                self._printer.write(frame["events"])
            except OSError as error:  # it is not the connection that is lost
                self._unwritten = error
                self._link.close()
                return
            self._position, self._is_lost = frame["sequence"], False
            ready()
            if gap is not None:
                filled += sum(1 for event in frame["events"] if event["sequence"] <= gap)
                if self._position >= gap:
                    told = f"filled #{begin + 1} to #{gap}" if gap > begin else "nothing was missed"
                    count = f": {filled:,} events" if gap > begin else ""
                    self._note(f"reconnected, {told}{count}")
                    gap = None
            if self._printer.is_done:
                self._link.close()
                await socket.close(NORMAL, _GOODBYE_S)
                return

    async def _look(self) -> None:
        """Say when what is written falls behind what is recorded, and when it has caught up."""
        before = -1
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._position == before or not self._link.is_ready.is_set():
                continue
            before = self._position
            newest = await self._newest()
            behind = 0 if newest is None else newest - self._position
            if behind > _BEHIND:
                self._note(f"{behind:,} events behind the bus")
                self._told_behind = True
            elif self._told_behind:
                self._note("caught up with the bus")
                self._told_behind = False

    async def _newest(self) -> int | None:
        async with self._ask_lock:
            with suppress(CommandError, KeyError, ValueError):
                return int((await asyncio.to_thread(self._asking.get, "/api/stats"))["sequence"])
        return None

    def _note(self, text: str) -> None:
        self._screen.note(self._screen.paint_note(text, "yellow"))
