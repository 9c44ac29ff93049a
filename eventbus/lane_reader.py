"""Reading in the log for lanes that are behind and for what waits there behind a busy key."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from eventbus.lane import PAGE, Job, Lane
from eventbus.log.commit import call_soon
from eventbus.log.deliveries import Unfinished
from eventbus.log.eventlog import EventLog
from eventbus.log.rows import MOST_CHARS
from eventbus.workers import WorkerPool

logger = logging.getLogger("eventbus.dispatcher")

_STORAGE_RETRY_S = 1.0


class LaneReader:
    """Used on the dispatcher's loop; the reading itself is done by the pool's threads.

    A lane has at most one page and one reading of bare sequences under way. What cannot be read
    is read again a second later, for as long as it takes.
    """

    def __init__(
        self,
        log: EventLog,
        loop: asyncio.AbstractEventLoop,
        pool: WorkerPool,
        without: Callable[[Lane, list[Unfinished]], list[Unfinished]],
        was_read: Callable[[Lane, list[Job]], None],
    ) -> None:
        """``without`` takes out of a page what comes to the lane in another way.

        ``was_read`` is told that a lane has more, and which of it waits for a retry.
        """
        self._log = log
        self._loop = loop
        self._pool = pool
        self._without = without
        self._was_read = was_read

    def read_on(self, lane: Lane) -> None:
        """Start to read what the lane wants, if it wants anything now."""
        if lane.is_closed:
            return
        if lane.unread and not lane.is_reading:
            self._read_waiting(lane)
        if lane.wants_page():
            self._read_page(lane)

    def look_up(self, job: Job, take: Callable[[Job, Unfinished | None], None]) -> None:
        """Give ``take`` what the log has to be done of a durable delivery; None for nothing."""
        lane = job.lane

        def read() -> Callable[[], None]:
            found, _ = self._deliveries(lane, [job.sequence])
            return lambda: None if lane.is_closed else take(job, found[0] if found else None)

        self._in_thread(lane, f"{job.sequence} again", read, lambda: self.look_up(job, take))

    def _in_thread(
        self, lane: Lane, what: str, read: Callable[[], Callable[[], None]],
        failed: Callable[[], None],
    ) -> None:  # fmt: skip
        """Have ``read`` run in a thread, what it returns on the loop; else ``failed``, later."""

        def work() -> None:
            try:
                take = read()
            except Exception:
                logger.exception("%s could not read %s", lane.subscription.name, what)
                call_soon(self._loop, again)
            else:
                call_soon(self._loop, take)

        def again() -> None:
            self._loop.call_later(_STORAGE_RETRY_S, failed)

        try:
            self._pool.submit(work)
        except RuntimeError:
            logger.exception("%s has no thread to read %s", lane.subscription.name, what)
            again()

    # -- a lane that is behind ---------------------------------------------------------------

    def _read_page(self, lane: Lane) -> None:
        lane.is_loading = True
        after = lane.position

        def read() -> Callable[[], None]:
            page, position, is_last = self._page(lane, after)
            return lambda: take(page, position, is_last)

        def take(page: list[Unfinished], position: int, is_last: bool) -> None:
            lane.is_loading = False
            if not lane.is_closed:
                taken = self._without(lane, page)
                self._was_read(lane, lane.take_page(taken, position, is_last))

        def failed() -> None:
            lane.is_loading = False
            self.read_on(lane)

        self._in_thread(lane, f"on from {after}", read, failed)

    def _page(self, lane: Lane, after: int) -> tuple[list[Unfinished], int, bool]:
        """Deliveries after a sequence, how far the log was read, whether that was to its end."""
        end = self._log.last_sequence
        if lane.id is not None:
            page, is_all = self._log.delivery_reader.unfinished(lane.id, after, PAGE)
            if is_all:
                return page, max(after, end), True
            return page, page[-1].event.sequence or 0, False
        chunk = self._log.read(after, PAGE, lane.subscription.pattern)
        return [Unfinished(event, 0, None) for event in chunk.events], chunk.position, True

    # -- bare sequences ----------------------------------------------------------------------

    def _read_waiting(self, lane: Lane) -> None:
        lane.is_reading = True
        wanted = lane.to_read()
        sequences = sorted(itertools.chain.from_iterable(wanted.values()))

        def read() -> Callable[[], None]:
            found, upto = self._deliveries(lane, sequences)
            by_sequence = {unfinished.event.sequence or 0: unfinished for unfinished in found}
            return lambda: take(by_sequence, upto)

        def take(found: dict[int, Unfinished], upto: int) -> None:
            lane.is_reading = False
            if not lane.is_closed:
                lane.take_read(wanted, found, upto)
                self._was_read(lane, [])

        def failed() -> None:
            lane.is_reading = False
            lane.unread += wanted
            self.read_on(lane)

        self._in_thread(lane, f"{len(sequences)} deliveries again", read, failed)

    def _deliveries(self, lane: Lane, sequences: list[int]) -> tuple[list[Unfinished], int]:
        if lane.id is not None:
            return self._log.delivery_reader.again(lane.id, sequences)
        found: list[Unfinished] = []
        chars = 0
        for sequence in sequences:
            event = self._log.get_by_sequence(sequence)
            if event is not None:
                found.append(Unfinished(event, 0, None))
                chars += len(event.data_json)
            if chars >= MOST_CHARS:
                return found, sequence
        return found, sequences[-1]
