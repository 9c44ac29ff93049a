"""Finds evaluations that have been active for too long, by what their task usually takes."""

from __future__ import annotations

from datetime import datetime

from eventbus import EventBus
from eventbus.timestamps import format_time, to_microseconds
from handlers.evaluation import Evaluations
from handlers.evaluation.lifecycle import EvaluationRow
from handlers.percentile import percentile
from handlers.settings import HandlerSettings

SOURCE = "/handlers/stalled"
_RECENT = 200  # completed evaluations of a task that its bound is learned from
_PAGE = 500
_MOST_A_CHECK = 5_000


class StallDetector:
    """Publishes ``evaluation.stalled`` for evaluations that seem to be stuck.

    The bound of a task is ``stalled_factor`` times the p99 of how long its last completed ones
    took, at least ``stalled_min_s``. One that has shown progress within the last
    ``stalled_quiet_s`` (or bound, if that is shorter) is slow, not stuck. The event's id follows
    from the evaluation, its attempt and its last sign of life, so that looking twice, or from two
    processes, finds it once.
    """

    def __init__(self, bus: EventBus, evaluations: Evaluations, settings: HandlerSettings) -> None:
        self._bus = bus
        self._evaluations = evaluations
        self._settings = settings
        self._after = 0  # where the next check goes on, so that a huge number is seen in turns

    def check(self, now: datetime) -> int:
        """Look at the active evaluations; returns how many were found stalled and not known to be.

        ``now`` is aware. Blocks for a commit when there are any; raises LogWriteError. Looks at
        5,000 at most and goes on from there the next time.
        """
        settings = self._settings
        now_us = to_microseconds(now)
        started_before = now_us - int(settings.stalled_min_s * 1e6)
        bounds: dict[str | None, float] = {}
        events = []
        for _ in range(_MOST_A_CHECK // _PAGE):
            page = self._evaluations.running_since(started_before, self._after, _PAGE)
            for row in page:
                if row.task not in bounds:
                    bounds[row.task] = self.bound_s(row.task)
                if self._is_stalled(row, now_us, bounds[row.task]):
                    events.append(_stalled(row, now, bounds[row.task]))
            self._after = page[-1].first_sequence if len(page) == _PAGE else 0
            if self._after == 0:
                break
        if not events:
            return 0
        return self._bus.publish_many(events).duplicates.count(False)

    def bound_s(self, task: str | None) -> float:
        """How many seconds an evaluation of this task may be active."""
        durations = self._evaluations.recent_durations(task, _RECENT)
        learned = self._settings.stalled_factor * (percentile(durations, 0.99) or 0.0)
        return max(self._settings.stalled_min_s, learned)

    def _is_stalled(self, row: EvaluationRow, now_us: int, bound_s: float) -> bool:
        active_s = (now_us - (row.attempt_started_at or row.updated_at)) / 1e6
        quiet_s = (now_us - row.updated_at) / 1e6
        return active_s > bound_s and quiet_s > min(bound_s, self._settings.stalled_quiet_s)


def _stalled(row: EvaluationRow, now: datetime, bound_s: float) -> dict[str, object]:
    return {
        "type": "evaluation.stalled",
        "id": f"stalled-{row.first_sequence}-{row.attempt}-{row.last_sequence}",
        "source": SOURCE,
        "subject": row.eval_id,
        "time": format_time(now),
        "data": {"eval_id": row.eval_id, "attempt": row.attempt, "bound_s": round(bound_s, 3)},
    }
