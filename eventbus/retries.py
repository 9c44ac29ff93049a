"""Retries: deliveries that wait for their next attempt, until it is due or somebody hurries it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from eventbus.due import DueQueue
from eventbus.lane import Job, Lane

_Entry = tuple[Job, int]
"""A delivery, and when it was due as it was put into the queue."""


class Retries:
    """Used on the dispatcher's loop alone."""

    def __init__(self, due: DueQueue, pump: Callable[[Lane], None]) -> None:
        self._due = due
        self._pump = pump

    def later(self, job: Job, due_us: int) -> None:
        """An attempt has failed: the next one is due at ``due_us`` (µs since the epoch)."""
        job.lane.wait_for_retry(job, due_us)
        self.expect(job)

    def expect(self, job: Job) -> None:
        """Begin its attempt when it is due; its lane knows that it waits."""
        due_us = job.due_us or 0
        longest_s = job.lane.subscription.policy.longest_delay_s
        self._due.add(due_us, longest_s, self._begin, (job, due_us))

    def now(self, lane: Lane, sequences: Collection[int]) -> list[int]:
        """Begin the next attempt of those that wait for it at once; returns which do.

        What the lane has left in the log, or runs already, is not among them.
        """
        waiting: list[_Entry] = self._due.items(self._begin)
        found = [
            entry for entry in waiting
            if entry[0].lane is lane and entry[0].sequence in sequences and _is_waiting(entry)
        ]  # fmt: skip
        for entry in found:
            self._begin(entry)
        return [job.sequence for job, _ in found]

    def _begin(self, entry: _Entry) -> None:
        # One that was hurried has an entry left, for a time that does not hold any more.
        if _is_waiting(entry):
            job, _ = entry
            job.lane.retry(job)
            self._pump(job.lane)


def _is_waiting(entry: _Entry) -> bool:
    job, due_us = entry
    return not job.lane.is_closed and job.due_us == due_us
