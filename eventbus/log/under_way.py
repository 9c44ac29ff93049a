"""What other processes that share the log have in a handler now, as they have told the database."""

from __future__ import annotations

from eventbus.log.cut_off import processes
from eventbus.log.eventlog import EventLog


def under_way_elsewhere(log: EventLog) -> set[tuple[int, str]]:
    """Sequence and subscription of each delivery; one that has just ended may still be among them.

    Empty for a log in a file, which one process has. What is handled by remote handlers is not
    told, and under load not what was told of before it began. Raises LogReadError.
    """
    if log.flights is None:
        return set()
    with log.reading() as conn:
        others = processes(conn, log.channel, log.flights.process)
    told = {
        (flight.sequence, flight.subscription)
        for process in others if process.is_alive
        for flight in process.flights if flight.is_sure
    }  # fmt: skip
    if not told:
        return set()
    names = {stored.id: stored.name for stored in log.subscribers()}
    return {(sequence, names[number]) for sequence, number in told if number in names}
