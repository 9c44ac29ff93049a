"""Whether a log has come to a sequence, also when another process has recorded it just now."""

from __future__ import annotations

from eventbus.log.eventlog import EventLog


def reaches(log: EventLog, sequence: int) -> bool:
    """Whether the sequence is recorded, and known here: who has seen it there may go on here.

    Blocks until what another process has recorded up to it was handed on. Raises LogReadError.
    """
    if sequence <= log.last_sequence:
        return True
    return log.follower is not None and log.follower.catch_up(sequence)
