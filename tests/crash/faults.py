"""Places the named points in this process and dies at the one that the plan names.

Nothing of it is in the product: connections of the sqlite3 module are watched from outside, and
functions of the core are wrapped, in the processes of this harness alone.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from eventbus.log import flights
from eventbus.log.inflight import InFlight
from tests.crash import psycopg_faults
from tests.crash.beacon import IDLE, IN_COMMIT, IN_TRANSACTION, STARTING, Beacon
from tests.crash.place import Place
from tests.crash.points import COMMITTED, FUNCTIONS, NAMES, STATEMENTS, Function


class Faults:
    """This process's points; ``plan`` names one of them, the pass to die at and after which delay.

    A plan is used once: it is gone when the process begins, so that a process which somebody
    else starts after a death (gunicorn's arbiter does) lives on.
    """

    def __init__(self, place: Place) -> None:
        self.beacon = Beacon(place.beacon)
        self.beacon.set("phase", STARTING)
        self.beacon.set("stage", IDLE)
        self.beacon.set("pid", os.getpid())
        # Last: from now on the pid is taken for this process's.
        self.beacon.set("incarnation", self.beacon.get("incarnation") + 1)
        self.incarnation = incarnation_of(self.beacon, place.member)
        self._place = place
        self.plan: dict[str, Any] = {}
        if place.plan.exists():
            self.plan = json.loads(place.plan.read_text())
            place.plan.unlink()
        self._point = self.plan.get("point")
        self._left = self.plan.get("passes", 0)
        self._runs = os.open(place.runs, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._index = {name: index for index, name in enumerate(NAMES)}

    def install(self) -> None:
        """Watch every connection made from now on, and wrap the functions."""
        if self._place.is_shared:
            psycopg_faults.watch(self)
        else:
            watched = functools.partial(_connect, self)
            sqlite3.connect = sqlite3.dbapi2.connect = watched  # type: ignore[assignment, attr-defined]
        for function in FUNCTIONS:
            self._wrap(function)
        self._note_entries()

    def write_run(self, kind: str, name: object, sequence: int | None) -> None:
        """A line of the run log: ``N``oted by the recorder (by the subscription's id), ``S``tart
        and ``E``nd of a handler's run, or ``X`` for the orderly end of a process.
        """
        line = f"{self.incarnation} {kind} {name} {sequence or 0}\n"
        os.write(self._runs, line.encode())

    def reach(self, name: str) -> None:
        """Pass a point; it may be the last thing that this process does."""
        self.beacon.passed(self._index[name])
        if name == self._point:
            self._left -= 1
            if self._left == 0:
                self.die(name, self.plan.get("delay_us", 0))

    def die(self, name: str, delay_us: int = 0) -> None:
        """Die here, or wherever this process is after ``delay_us``."""
        self.beacon.set("fired", 1 + self._index[name])
        if delay_us:
            # Unhandled, SIGALRM ends a process as abruptly as SIGKILL, and the kernel sends it at
            # its time, also into the middle of SQLite's own code.
            signal.setitimer(signal.ITIMER_REAL, delay_us / 1e6)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def _note_entries(self) -> None:
        """No attempt may be counted as cut off that the recorder was never told of."""
        original = InFlight.enter

        def enter(recorder: InFlight, sequence: int, subscription: int, *args: Any) -> int:
            self.write_run("N", subscription, sequence)
            return original(recorder, sequence, subscription, *args)

        InFlight.enter = enter  # type: ignore[assignment, method-assign]
        write = flights.written

        def written(told: Iterable[flights.Flight]) -> str:
            told = list(told)
            for flight in told:
                self.write_run("N", flight.subscription, flight.sequence)
            return write(told)

        flights.written = written

    def _wrap(self, function: Function) -> None:
        owner = getattr(importlib.import_module(function.module), function.owner, None)
        original = getattr(owner, function.method, None)
        name = function.point.name
        if original is None:
            raise LookupError(
                f"the crash point {name!r} has lost its place: there is no "
                f"{function.module}.{function.owner}.{function.method}; mend tests/crash/points.py"
            )

        def after(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.reach(name)
            return result

        def before(*args: Any, **kwargs: Any) -> Any:
            self.reach(name)
            return original(*args, **kwargs)

        wrapper = functools.wraps(original)(after if function.is_after else before)
        setattr(owner, function.method, wrapper)


def incarnation_of(beacon: Beacon, member: int) -> int:
    """A number for the process that a beacon was set by last, unlike all others of the place."""
    return member * 1_000_000 + beacon.get("incarnation")


def _connect(faults: Faults, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    connection = _Connection(*args, **kwargs)
    connection.committed = lambda: _committed(faults)
    if faults.plan.get("small_wal"):  # so that most commits copy pages into the database, too
        connection.execute("PRAGMA wal_autocheckpoint = 8")
    connection.set_trace_callback(functools.partial(_trace, faults))
    return connection


def _trace(faults: Faults, sql: str) -> None:
    """Called by SQLite before each statement and, of an executemany, before each row."""
    sql = sql.lstrip()
    if sql.startswith("BEGIN IMMEDIATE"):
        faults.beacon.set("stage", IN_TRANSACTION)
    elif sql.startswith("COMMIT"):
        faults.beacon.set("stage", IN_COMMIT)
    for statement in STATEMENTS:
        if sql.startswith(statement.text) and statement.contains in sql:
            faults.reach(statement.point.name)


def _committed(faults: Faults) -> None:
    faults.beacon.set("stage", IDLE)
    faults.reach(COMMITTED.name)


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        result = super().execute(sql, *args)
        if sql == "COMMIT":
            self.connection.committed()
        return result


class _Connection(sqlite3.Connection):
    committed: Callable[[], None]

    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        was_open = self.in_transaction
        super().commit()
        if was_open:
            self.committed()
