"""What every process that shares a log has in a handler now, told to the database as it begins.

It is told and not waited for: what has been sent reaches the server though the process is killed
in the next instant. The table survives no crash of the server's, and costs no write to its disk.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, Protocol

from eventbus.log.commit import call_soon
from eventbus.log.postgresql import PostgresqlDatabase
from eventbus.log.storage import driver_error

logger = logging.getLogger("eventbus.log")

# Up to so many times in each such span everything is told as it happens. With more than that to
# tell, or so many that wait already, deliveries are told of before they begin, many at once, and
# that they have ended is late.
_SPAN_S = 0.05
_MOST_EXACT = 5
_MANY = 4
_AHEAD = 64
# The server has one thing to read at a time, for as long as its answer to the one before is not
# awaited for longer than this: it reads no second one of a client that is gone.
_LONGEST_WAIT_S = 0.05
_RETRY_S = 1.0

_JOIN = """
INSERT INTO in_flight (process, server, told)
VALUES (%s, pg_postmaster_start_time()::text, '')
ON CONFLICT (process) DO UPDATE SET server = excluded.server, told = ''
"""
_TAKE_PART = "SELECT pg_try_advisory_lock_shared(hashtext(%s), hashtext(%s))"
_LEAVE = "DELETE FROM in_flight WHERE process = %s"


class Flight(NamedTuple):
    """A delivery in a handler; ``attempt`` counts those that had ended, ``started_us`` is µs since
    the epoch. Of one that is not ``is_sure`` it is not known whether it has begun, or ended.
    """

    subscription: int
    sequence: int
    attempt: int
    started_us: int
    is_sure: bool = True


LOCK = "in flight "
"""With the process's number: the advisory lock that it holds for as long as it is alive."""


def written(flights: Iterable[Flight]) -> str:
    """As the table has them."""
    return " ".join(
        f"{f.subscription}:{f.sequence}:{f.attempt}:{f.started_us}:{f.is_sure:d}" for f in flights
    )


def read(told: str) -> list[Flight]:
    """The reverse of ``written``."""
    found = []
    for text in told.split():
        subscription, sequence, attempt, started_us, is_sure = map(int, text.split(":"))
        found.append(Flight(subscription, sequence, attempt, started_us, bool(is_sure)))
    return found


class Job(Protocol):
    """A delivery that is ready to begin."""

    attempt: int
    sequence: int


class Flights:
    """Used on the bus's loop, but for ``open`` and ``close``, which block.

    While the server cannot be reached nothing is told, and nothing waits for that.
    """

    def __init__(self, database: PostgresqlDatabase) -> None:
        self._database = database
        self.process = secrets.randbits(62)
        # Other processes, which were waited for in vain: until when not again, by the clock below.
        self.frozen: dict[int, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_thread: Callable[[Callable[[], None]], None] = lambda work: work()
        self._connecting = threading.Lock()
        self._driver: Any = None
        self._connected = 0.0  # when last, by the monotonic clock
        self._owed = 0  # answers of the server
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._running: dict[tuple[int, int], Flight] = {}
        self._ahead: dict[tuple[int, int], Flight] = {}  # told of, and not begun
        self._is_stale = False  # something has ended since it was told last
        self._is_due = False
        self._span_end = 0.0  # by the monotonic clock
        self._count = 0  # told in this span
        self._told = 0.0  # when last, by the loop's clock
        self._is_closing = False

    def serve(
        self, loop: asyncio.AbstractEventLoop, in_thread: Callable[[Callable[[], None]], None]
    ) -> None:
        """Where handlers run, and how to have something run that blocks."""
        self._loop, self._in_thread = loop, in_thread

    def open(self) -> None:
        """Connect, unless it is done; before the first handler runs."""
        loop = self._loop
        with self._connecting:
            if self._driver is not None or loop is None or self._is_closing:
                return
            try:
                self._driver = self._connect()
            except Exception as error:
                if driver_error(error) is None:
                    logger.exception("what is in a handler here cannot be told")
                else:
                    logger.warning("what is in a handler here is not told for now: %s", error)
                call_soon(loop, self._connect_later)
            else:
                call_soon(loop, self._listen, self._driver)

    def must_wait(self, subscription: int, sequence: int) -> bool:
        """Whether it cannot be told just now that this delivery begins."""
        if not self._owed or self._loop is None or (subscription, sequence) in self._ahead:
            return False
        self._take_answers(self._driver)
        return self._owed > 0 and self._loop.time() - self._told < _LONGEST_WAIT_S

    async def wait(self) -> None:
        """Return when it may be."""
        if self._owed and self._loop is not None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            self._loop.call_later(_LONGEST_WAIT_S, _wake, waiter)
            await waiter

    def begin(self, flight: Flight, upcoming: Sequence[Job], is_careful: bool) -> None:
        """A handler is about to start; ``upcoming`` are the next of its subscription.

        With ``is_careful`` nothing is told of before it begins.
        """
        key = (flight.subscription, flight.sequence)
        self._running[key] = flight
        if self._ahead.pop(key, None) is not None:
            return  # told already
        unsure = None
        is_first = flight.attempt == 0 and not is_careful
        if is_first and upcoming and (len(upcoming) >= _MANY or self._is_much()):
            for job in islice(upcoming, _AHEAD):
                if job.attempt == 0:
                    unsure = key
                    self._ahead[flight.subscription, job.sequence] = Flight(
                        flight.subscription, job.sequence, 0, 0, is_sure=False
                    )
        self._tell(unsure)

    def end(self, subscription: int, sequence: int, is_careful: bool) -> None:
        """It has ended."""
        if self._running.pop((subscription, sequence), None) is None:
            return
        self._is_stale = True
        if not self._is_due and self._loop is not None:
            self._is_due = True
            if is_careful or not self._is_much():
                self._loop.call_soon(self._tell_end)
            else:
                self._loop.call_later(_SPAN_S, self._tell_end)

    def forget(self, subscription: int) -> None:
        """What was to come next of a subscription does not come."""
        for key in [key for key in self._ahead if key[0] == subscription]:
            del self._ahead[key]

    def close(self) -> None:
        """Nothing is in a handler any more. With the loop stopped."""
        self._is_closing = True
        with self._connecting:
            driver, self._driver = self._driver, None
        if driver is not None and self._loop is not None:
            call_soon(self._loop, self._listen_no_more, driver.fileno())
            with suppress(Exception), self._database.connect() as other:
                other.execute(_LEAVE, (self.process,))  # else it would seem to have died
            driver.close()

    # -- telling -----------------------------------------------------------------------------

    def _is_much(self) -> bool:
        now = time.monotonic()
        if now > self._span_end:
            self._span_end, self._count = now + _SPAN_S, 0
        return self._count >= _MOST_EXACT

    def _tell_end(self) -> None:
        self._is_due = False
        if not self._is_stale:
            return
        if self._owed and self._loop is not None:
            self._is_due = True
            self._loop.call_later(_SPAN_S, self._tell_end)
        else:
            self._tell(None)

    def _tell(self, unsure: tuple[int, int] | None) -> None:
        """Tell of everything; of ``unsure`` as of those that follow it without being told of."""
        self._is_stale = False
        self._count += 1
        driver = self._driver
        if driver is None or self._loop is None:
            return
        self._told = self._loop.time()
        flights = [
            flight._replace(is_sure=False) if key == unsure else flight
            for key, flight in self._running.items()
        ]
        flights += self._ahead.values()
        try:
            pgconn = driver.pgconn
            pgconn.send_query_prepared(b"tell", [written(flights).encode()])
            pgconn.pipeline_sync()
            self._owed += 1
            pgconn.flush()
        except Exception as error:
            self._lost(driver, error)

    def _listen(self, driver: Any) -> None:
        if self._loop is not None and driver is self._driver:
            self._loop.add_reader(driver.fileno(), self._take_answers, driver)
            self._tell(None)

    def _listen_no_more(self, number: int) -> None:
        if self._loop is not None:
            self._loop.remove_reader(number)

    def _take_answers(self, driver: Any) -> None:
        """Answers are read as they come: were they not, the system would not end the connection
        of a killed process in good order, and what it sent last might not be looked at."""
        from psycopg.pq import ExecStatus

        if driver is not self._driver:
            return
        try:
            pgconn = driver.pgconn
            pgconn.consume_input()
            while self._owed and not pgconn.is_busy():
                answer = pgconn.get_result()
                if answer is None:
                    continue
                if answer.status == ExecStatus.PIPELINE_SYNC:
                    self._owed -= 1
                elif answer.status != ExecStatus.COMMAND_OK:
                    raise RuntimeError(answer.error_message.decode(errors="replace"))
        except Exception as error:
            self._lost(driver, error)
        while self._waiters and not self._owed:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    # -- connecting --------------------------------------------------------------------------

    def _connect(self) -> Any:
        """A connection that holds the lock of this process; raises psycopg's errors."""
        from psycopg.pq import ExecStatus

        self._connected = time.monotonic()
        driver = self._database.connect()
        try:
            driver.execute("SET synchronous_commit = off")
            # First: a row without the lock is of a process that has died.
            driver.execute(_TAKE_PART, (self._database.channel, f"{LOCK}{self.process}"))
            driver.execute(_JOIN, (self.process,))
            pgconn = driver.pgconn
            tell = f"UPDATE in_flight SET told = $1 WHERE process = {self.process}"
            if (prepared := pgconn.prepare(b"tell", tell.encode())).status != ExecStatus.COMMAND_OK:
                raise RuntimeError(prepared.error_message.decode(errors="replace"))
            pgconn.enter_pipeline_mode()
            pgconn.nonblocking = 1
        except BaseException:
            driver.close()
            raise
        self._owed = 0
        return driver

    def _lost(self, driver: Any, error: Exception) -> None:
        if driver is not self._driver or self._loop is None:
            return
        self._driver, self._owed = None, 0
        while self._waiters:
            _wake(self._waiters.popleft())
        with suppress(Exception):
            self._loop.remove_reader(driver.fileno())
        driver.close()
        logger.warning("what is in a handler here is not told for now: %s", error)
        self._connect_later()

    def _connect_later(self) -> None:
        """At once, unless that was tried a moment ago: meanwhile it seems to have died."""
        if self._loop is not None and not self._is_closing:
            delay_s = max(0.0, self._connected + _RETRY_S - time.monotonic())
            self._loop.call_later(delay_s, self._in_thread, self.open)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
