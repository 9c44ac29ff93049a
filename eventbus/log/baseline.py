"""The baseline: what the events that retention has removed had made of the read models.

Before an event or its payload goes, it is folded into ``events.db-baseline``, a database beside
the log's. A replay begins with a copy of it, so it gives what it gave when all events were there.
"""

from __future__ import annotations

from pathlib import Path

from eventbus.errors import RebuildError
from eventbus.log.eventlog import EventLog
from eventbus.log.fold import Fold, copy_database, fold_path, remove_files


def baseline_path(log: EventLog) -> Path:
    """Where the baseline of ``log`` is, once there is one."""
    return log.shared_path.with_name(log.shared_path.name + "-baseline")


def begin_fold(log: EventLog) -> Fold:
    """A new fold beside the log: the baseline's copy, or empty when nothing was ever removed.

    Raises RebuildError when something was removed that no baseline has.
    """
    scratch = fold_path(log.path)
    baseline = baseline_path(log)
    with log.removing_nothing():
        # While nothing was removed all of it is in the log, and what is there may be another's.
        is_there = log.removed_upto > 0 and baseline.exists()
        if is_there:
            copy_database(baseline, scratch)
        fold = Fold(scratch)
        problem = _contradiction(log, fold, is_there)
        if problem:
            fold.remove()
            raise RebuildError(problem)
        return fold


def open_baseline(log: EventLog) -> Fold:
    """The baseline itself, made when nothing was ever removed; what it commits is on disk.

    Raises RebuildError when something was removed that it does not have.
    """
    baseline = baseline_path(log)
    is_there = baseline.exists()
    if not log.removed_upto:
        remove_files(baseline)
    elif not is_there:
        raise RebuildError(_missing(log, "is missing"))
    fold = Fold(baseline, is_durable=True)
    problem = _contradiction(log, fold, is_there)
    if problem:
        fold.close()
        raise RebuildError(problem)
    return fold


def _contradiction(log: EventLog, fold: Fold, is_there: bool) -> str | None:
    if fold.position < log.removed_upto:
        state = f"only has those up to #{fold.position}" if is_there else "is missing"
        return _missing(log, state)
    if is_there and fold.position > log.last_sequence:
        return (
            f"the baseline {baseline_path(log)} has events up to #{fold.position}, and the log "
            f"ends at #{log.last_sequence}: put back the one that was kept with this database "
            "(see docs/retention.md)"
        )
    return None


def _missing(log: EventLog, state: str) -> str:
    return (
        f"retention has removed events up to #{log.removed_upto}, and the baseline "
        f"{baseline_path(log)} {state}: put back the one that was kept with this database (see "
        "docs/retention.md)"
    )
