"""The handlers under trial: they keep a ledger of what they did, publish, fail, hang and kill.

``crash_applied`` gets a row for each event that a handler was done with, in the order of commits;
nothing in the table keeps a second row out, so that doing it twice shows.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection, text

from eventbus import Event, EventBus
from eventbus.log import ddl
from tests.crash.faults import Faults
from tests.crash.points import IN_HANDLER, LETHAL

HANG_TIMEOUT_S = 0.15
MOST_ATTEMPTS = 30
LATER_S = 0.2
_APPLY = text(
    "INSERT INTO crash_applied (subscription, sequence, subject, amount, failed)"
    " VALUES (:subscription, :sequence, :subject, :amount, :failed)"
)
_SUM = text(
    "INSERT INTO crash_sums (subscription, subject, total, count)"
    " VALUES (:subscription, :subject, :amount, 1)"
    " ON CONFLICT (subscription, subject) DO UPDATE SET"
    " total = crash_sums.total + excluded.total, count = crash_sums.count + 1"
)


class HandlerFailure(Exception):
    """What the handlers raise on purpose."""


def _create_tables(conn: Connection) -> None:
    ddl.run(
        conn,
        "CREATE TABLE crash_applied (position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,"
        " subscription TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL,"
        " amount INTEGER NOT NULL, failed INTEGER NOT NULL)",
        "CREATE TABLE crash_sums (subscription TEXT NOT NULL, subject TEXT NOT NULL,"
        " total INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (subscription, subject))",
    )


def _apply(conn: Connection, rows: list[Any]) -> None:
    conn.execute(_APPLY, rows)
    conn.execute(_SUM, rows)


class Ledger:
    """The handlers on one bus; ``runs.log`` gets a line before and after each of their runs."""

    def __init__(self, bus: EventBus, faults: Faults) -> None:
        self._bus = bus
        self._faults = faults
        self._failed: Counter[tuple[str, int]] = Counter()

    def subscribe(self, is_first: bool = True) -> None:
        """Make the tables and put the handlers on the bus; the ephemeral one ``is_first``."""
        self._bus.log.migrate("crash", (_create_tables,))
        self._durable("sum", "load.#", self._sum)
        self._durable("relay", "load.order.*", self._relay)
        self._durable("chain", "derived.leg", self._chain, inline=True)
        self._durable("flaky", "load.+.flaky", self._flaky)
        self._durable("slow", "load.task.slow", self._slow, concurrency=4)
        self._durable("hang", "load.task.hang", self._hang, timeout=HANG_TIMEOUT_S)
        self._durable("doomed", "load.task.doomed", self._doomed, max_attempts=3)
        self._durable("lethal", "load.task.lethal", self._lethal, inline=True, max_attempts=2)
        if is_first:
            self._bus.subscribe("load.order.#", lambda event: self._seen(event))

    def _durable(
        self, name: str, pattern: str, handler: Callable[[Event], Any], **options: Any
    ) -> None:
        run = self._recorded_async if inspect.iscoroutinefunction(handler) else self._recorded
        options = {"max_attempts": MOST_ATTEMPTS, **options}
        self._bus.subscribe(pattern, run(name, handler), name=name, **options)

    def _recorded(self, name: str, handler: Callable[[Event], Any]) -> Callable[[Event], Any]:
        def run(event: Event) -> None:
            self._faults.write_run("S", name, event.sequence)
            try:
                handler(event)
                self._faults.reach(IN_HANDLER.name)
            finally:
                self._faults.write_run("E", name, event.sequence)

        return run

    def _recorded_async(
        self, name: str, handler: Callable[[Event], Awaitable[Any]]
    ) -> Callable[[Event], Awaitable[Any]]:
        async def run(event: Event) -> None:
            self._faults.write_run("S", name, event.sequence)
            try:
                await handler(event)
                self._faults.reach(IN_HANDLER.name)
            finally:
                self._faults.write_run("E", name, event.sequence)

        return run

    def _done(self, name: str, event: Event, failed: bool = False) -> None:
        self._bus.effect(_apply, {
            "subscription": name, "sequence": event.sequence, "subject": event.subject,
            "amount": event["amount"], "failed": int(failed),
        })  # fmt: skip

    def _publish(self, type: str, event: Event, **more: Any) -> None:
        data = {"of": event.sequence, "amount": event["amount"], **more}
        self._bus.publish(type, data, subject=event.subject)

    async def _sum(self, event: Event) -> None:
        self._done("sum", event)

    async def _relay(self, event: Event) -> None:
        self._publish("derived.leg", event, leg=0)
        await asyncio.sleep(0)
        self._publish("derived.leg", event, leg=1)
        if event["note"]:
            data = {"of": event.sequence}
            note = {"type": "derived.note", "data": data, "source": "/handlers/relay"}
            self._bus.publish_many([{**note, "subject": event.subject}])
            self._bus.publish("derived.later", data, subject=event.subject, delay=LATER_S)
        self._done("relay", event)

    def _chain(self, event: Event) -> None:
        if event["leg"] == 0:
            self._publish("derived.end", event)
        self._done("chain", event)

    def _flaky(self, event: Event) -> None:
        is_failing = self._fails("flaky", event, event["failures"])
        self._publish("derived.retried", event, failed=is_failing)
        self._done("flaky", event, is_failing)
        if is_failing:
            raise HandlerFailure("on purpose")

    def _slow(self, event: Event) -> None:
        self._done("slow", event)
        time.sleep(event["pause_ms"] / 1e3)  # the slowness is the point

    async def _hang(self, event: Event) -> None:
        is_failing = self._fails("hang", event, 1)
        self._publish("derived.woken", event, failed=is_failing)
        self._done("hang", event, is_failing)
        if is_failing:
            await asyncio.sleep(HANG_TIMEOUT_S * 20)

    def _doomed(self, event: Event) -> None:
        self._publish("derived.never", event, failed=True)
        self._done("doomed", event, True)
        raise HandlerFailure("on purpose, always")

    def _lethal(self, event: Event) -> None:
        self._publish("derived.never", event, failed=True)
        self._faults.die(LETHAL.name)

    async def _seen(self, event: Event) -> None:
        self._publish("derived.seen", event)
        self._done("ephemeral", event)

    def _fails(self, name: str, event: Event, times: int) -> bool:
        """Whether this run is one of the first ``times`` of this process for the event."""
        key = (name, event.sequence or 0)
        self._failed[key] += 1
        return self._failed[key] <= times
