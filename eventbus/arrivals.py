"""Deliveries that another process has made pending again, brought to the lane that serves them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from eventbus.lane import PAGE, Lane
from eventbus.log.commit import call_soon

if TYPE_CHECKING:
    from eventbus.dispatcher import Dispatcher
    from eventbus.log import EventLog

logger = logging.getLogger("eventbus")

T = TypeVar("T")

_NO_ROOM_S = 0.1
_READ_AGAIN_S = 1.0
# A delivery that has just ended is let go by its lane a moment after its commit is seen elsewhere.
_SETTLED_S = 1.0
# As bare sequences; who returns them does not go on while so many are pending.
MOST_WAITING = 50_000


class Arrivals:
    """Used on the dispatcher's loop alone.

    Another process says what it has made pending when that is committed. By then the lane may have
    met some of it in the log: it knows what it holds. The rest is announced to ``Returns``, so that
    no page brings it any more, then looked up and handed over, as there is room.
    """

    def __init__(self, log: EventLog, dispatcher: Dispatcher) -> None:
        self._log = log
        self._dispatcher = dispatcher
        self._waiting: dict[Lane, deque[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, lane: Lane, sequences: Sequence[int]) -> None:
        """Bring these to a lane, in time."""
        if lane.is_closed or lane.held is None:
            return  # the next lane reads all of it in the log
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting.extend(sequences)
            return
        self._waiting[lane] = deque(sequences)
        task = self._dispatcher.loop.create_task(self._work(lane, lane.held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count(self, lane: Lane) -> int:
        """How many wait to be brought to it."""
        return len(self._waiting.get(lane, ()))

    async def _work(self, lane: Lane, held: set[int]) -> None:
        waiting = self._waiting[lane]
        loop = self._dispatcher.loop
        try:
            while waiting and not lane.is_closed:
                room = self._dispatcher.returns.room(lane.id or 0)
                if not room:
                    await asyncio.sleep(_NO_ROOM_S)
                    continue
                some = {waiting.popleft() for _ in range(min(room, len(waiting), PAGE))}
                if perhaps := some & held:
                    loop.call_later(_SETTLED_S, self._look_again, lane, held, perhaps)
                if some - held:
                    await self._bring(lane, sorted(some - held), waiting)
        finally:
            del self._waiting[lane]

    def _look_again(self, lane: Lane, held: set[int], sequences: set[int]) -> None:
        if let_go := sequences - held:
            self.take(lane, sorted(let_go))

    async def _bring(self, lane: Lane, wanted: list[int], waiting: deque[int]) -> None:
        id, returns = lane.id or 0, self._dispatcher.returns
        returns.expect(id, wanted)
        while True:  # also for a lane that comes after this one
            try:
                found, upto = await self._in_thread(
                    lambda: self._log.delivery_reader.again(id, wanted)
                )
                break
            except Exception as error:
                logger.warning("what was returned to %s is read later: %s",
                               lane.subscription.name, error)  # fmt: skip
                await asyncio.sleep(_READ_AGAIN_S)
        waiting.extendleft(sequence for sequence in reversed(wanted) if sequence > upto)
        pending = [each for each in found if each.due_us is None]
        returns.hand(id, pending, wanted)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        loop = self._dispatcher.loop
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = function()
            except Exception as error:
                call_soon(loop, answer.set_exception, error)
            else:
                call_soon(loop, answer.set_result, result)

        self._dispatcher.pool.submit(work)
        return await answer
