"""What becomes of the attempts of a process that was killed while it shared the log with others.

Whoever serves one of its subscriptions next counts them, from what it had told (log/flights.py),
in one transaction with taking that off the table: so each is counted once, whoever comes when.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, text, update

from eventbus.errors import CrashedAttemptError
from eventbus.log import schema
from eventbus.log.dead_letters import Tally
from eventbus.log.eventlog import EventLog
from eventbus.log.flights import LOCK, Flight, Flights, read, written
from eventbus.log.unit import Unit
from eventbus.subscription import RetryPolicy

_deliveries, _attempts = schema.deliveries, schema.attempts

# A row of a few processes: read as a whole. One without its lock is of a process that has died,
# or lost its connection; when the server was restarted, it may be any of them.
_ROWS = text("""
SELECT process, told, server = pg_postmaster_start_time()::text AS is_of_this_server, EXISTS (
    SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = (hashtext(:channel)::bigint & 4294967295)
    AND objid::bigint = (hashtext(:lock || process)::bigint & 4294967295)) AS is_alive
FROM in_flight WHERE process != :own
""")
_PUT = text("UPDATE in_flight SET told = :told WHERE process = :process")
_DROP = text("DELETE FROM in_flight WHERE process = :process")
# The server may see later that a connection has ended than that the one with the leases has.
_PATIENCE_S = 2.0
_LOOK_S = 0.02
_FROZEN_S = 60.0
MESSAGE = "the process died, or lost the log, while this attempt ran"


@dataclass(frozen=True, slots=True)
class Process:
    """What another process has told. One that is not ``is_known`` was not seen to die."""

    number: int
    flights: list[Flight]
    is_alive: bool
    is_known: bool


def processes(conn: Connection, channel: str, own: int) -> list[Process]:
    """All others that share the log, or did and had something in a handler."""
    rows = conn.execute(_ROWS, {"channel": channel, "own": own, "lock": LOCK})
    return [
        Process(row.process, read(row.told), row.is_alive, row.is_of_this_server) for row in rows
    ]


def count_cut_off(
    log: EventLog, flights: Flights, subscription: int, policy: RetryPolicy, now_us: int
) -> set[int]:
    """Count those of a subscription whose lease this process has just got. Blocks.

    Returns sequences of which it is not known: one of them may have been cut off. When it is
    again, this time is counted, too. Raises LogReadError, LogWriteError.
    """
    suspects: set[int] = set()
    own = flights.process

    def count(conn: Connection) -> None:
        nonlocal suspects  # the transaction may be made again
        suspects = _count(conn, log.channel, own, subscription, policy, now_us)

    if _await_ends(log, flights, subscription):
        log.commit(Unit(call=count))  # which one process at a time does
    return suspects


def _await_ends(log: EventLog, flights: Flights, subscription: int) -> bool:
    """Whether a process has died that told of the subscription.

    One that had it and seems alive is waited for: it is about to be seen dead, or frozen.
    """
    now = time.monotonic()
    deadline = now + _PATIENCE_S
    flights.frozen = {number: until for number, until in flights.frozen.items() if until > now}
    while True:
        with log.reading() as conn:
            others = [
                process for process in processes(conn, log.channel, flights.process)
                if any(flight.subscription == subscription for flight in process.flights)
            ]  # fmt: skip
            alive = {
                process.number for process in others
                if process.is_alive and process.number not in flights.frozen
                and _unfinished(conn, subscription, process.flights)
            }  # fmt: skip
        if not alive or time.monotonic() > deadline:
            flights.frozen |= dict.fromkeys(alive, now + _FROZEN_S)
            return any(not process.is_alive for process in others)
        time.sleep(_LOOK_S)


def _count(
    conn: Connection, channel: str, own: int, subscription: int, policy: RetryPolicy, now_us: int
) -> set[int]:
    """The same in a transaction."""
    dead = [process for process in processes(conn, channel, own) if not process.is_alive]
    sure: dict[int, list[Flight]] = defaultdict(list)
    unsure: dict[int, list[Process]] = defaultdict(list)
    for process in dead:
        if not process.is_known:
            continue
        for flight in _unfinished(conn, subscription, process.flights, is_locking=True):
            if flight.is_sure:
                sure[flight.sequence].append(flight)
            else:
                unsure[flight.sequence].append(process)
    explained: set[int] = set()
    for sequence, flights in sure.items():
        # It has killed again, and alone of those that may have killed before.
        before = unsure.pop(sequence, [])
        explained.update(process.number for process in before)
        _fail(conn, flights, len(flights) + len(before), policy, now_us)
    kept: dict[int, set[int]] = defaultdict(set)
    for sequence, suspected in unsure.items():
        for process in suspected:
            if process.number not in explained:
                kept[process.number].add(sequence)
    for process in dead:
        mine = kept.get(process.number, ())
        left = [
            flight for flight in process.flights
            if flight.subscription != subscription
            or (flight.sequence in mine and not flight.is_sure)
        ]  # fmt: skip
        if left:
            conn.execute(_PUT, {"process": process.number, "told": written(left)})
        else:
            conn.execute(_DROP, {"process": process.number})
    return set().union(*kept.values())


def _fail(
    conn: Connection, flights: list[Flight], count: int, policy: RetryPolicy, now_us: int
) -> None:
    """Count so many attempts of one delivery, but no more than it may have."""
    first = flights[0]
    key = {"sequence": first.sequence, "subscription": first.subscription}
    count = max(1, min(count, policy.max_attempts - first.attempt))
    number = first.attempt + count
    is_dead = number >= policy.max_attempts
    # The first time at once, as most that are cut off are not what killed the process.
    delay_s = policy.delay_s(number) if number > 1 else 0.0
    error = {"error_class": CrashedAttemptError.__name__, "error_message": MESSAGE}
    tally = Tally(conn, [(first.sequence, first.subscription)]) if is_dead else None
    conn.execute(
        update(_deliveries)
        .where(_deliveries.c.sequence == first.sequence,
               _deliveries.c.subscription == first.subscription)
        .values(
            state="dead" if is_dead else "retrying", attempt=number, finished_us=now_us,
            due_us=None if is_dead else now_us + int(delay_s * 1e6), duration_us=0, **error,
        )
    )  # fmt: skip
    # Numbered through all rounds of a delivery.
    last = select(func.coalesce(func.max(_attempts.c.number), 0)).where(
        _attempts.c.sequence == first.sequence, _attempts.c.subscription == first.subscription
    )
    ended: int = conn.execute(last).scalar_one()
    started = sorted(flight.started_us for flight in flights)
    conn.execute(
        insert(_attempts),
        [
            {**key, "number": ended + index + 1, "started_us": started[max(0, at)],
             "duration_us": 0, "outcome": "crashed", **error}
            for index in range(count) for at in [index - count + len(started)]
        ],
    )  # fmt: skip
    if tally is not None:
        tally.changed()


def _unfinished(
    conn: Connection, subscription: int, flights: Sequence[Flight], is_locking: bool = False
) -> list[Flight]:
    """Those of a subscription's whose attempt has not ended as far as the log knows."""
    ours = {flight.sequence: flight for flight in flights if flight.subscription == subscription}
    query = select(_deliveries.c.sequence, _deliveries.c.attempt).where(  # primary key
        _deliveries.c.sequence.in_(list(ours)),
        _deliveries.c.subscription == subscription,
        _deliveries.c.state.in_(("pending", "retrying")),
    )
    rows = conn.execute(query.with_for_update() if is_locking else query)
    return [ours[row.sequence] for row in rows if row.attempt == ours[row.sequence].attempt]
