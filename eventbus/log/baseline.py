"""The baseline: what the events that retention has removed had made of the read models.

Before an event or its payload goes, it is folded into ``events.db-baseline``, a database beside
the log's. A replay begins with a copy of it, so it gives what it gave when all events were there.
"""

from __future__ import annotations

from pathlib import Path

from eventbus.errors import RebuildError
from eventbus.log.eventlog import EventLog
from eventbus.log.fold import Fold, copy_database, fold_path


def baseline_path(log: EventLog) -> Path:
    """Where the baseline of ``log`` is, once there is one."""
    return log.path.with_name(log.path.name + "-baseline")


def begin_fold(log: EventLog) -> Fold:
    """A new fold beside the log: the baseline's copy, or empty when nothing was ever removed.

    Raises RebuildError when something was removed that no baseline has.
    """
    scratch = fold_path(log.path)
    baseline = baseline_path(log)
    with log.removing_nothing():
        removed = log.removed_upto
        if baseline.exists():
            copy_database(baseline, scratch)
        fold = Fold(scratch)
        if fold.position < removed:
            position = fold.position
            fold.remove()
            raise RebuildError(
                f"retention has removed events up to #{removed}, and the baseline {baseline} "
                f"{f'only has those up to #{position}' if baseline.exists() else 'is missing'}: "
                "put back the one that was kept with this database (see docs/retention.md)"
            )
        return fold
