"""What stands beside a log and is data: it comes along, and is compared."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from eventbus.errors import MoveError
from eventbus.log.backup import sync
from eventbus.log.companions import COMPANIONS
from eventbus.log.fold import copy_database
from eventbus.log.integrity import open_read_only

_IN_FLIGHT = "-inflight"


def copy_files(source: Path, target: Path, last_sequence: int) -> tuple[str, ...]:
    """Copy what belongs to the log at ``source``; returns the names of what was.

    The paths are those of the databases. All else that stands beside a log is made anew. Raises
    MoveError, OSError.
    """
    copied = []
    for companion in COMPANIONS:
        there = companion.of(source)
        if not there.exists():
            continue
        if companion.is_data:
            copy_database(there, companion.of(target))
            _prove_baseline(companion.of(target), last_sequence)
        elif companion.suffix == _IN_FLIGHT and any(there.read_bytes()):
            # What a crash has cut off is counted as an attempt by the next server.
            shutil.copyfile(there, companion.of(target))
        else:
            continue
        sync(companion.of(target))
        copied.append(companion.of(target).name)
    return tuple(copied)


def compare_files(source: Path, target: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of what is the same, and sentences about what is not."""
    same, findings = [], []
    for companion in COMPANIONS:
        ours, theirs = companion.of(source), companion.of(target)
        if not companion.is_data or not ours.exists():
            continue
        if not theirs.exists():
            findings.append(f"{theirs} is missing, a copy of {ours.name}")
        elif _is_same(ours, theirs):
            same.append(theirs.name)
        else:
            findings.append(f"{theirs} is not what {ours} is")
    return tuple(same), tuple(findings)


def _is_same(ours: Path, theirs: Path) -> bool:
    with closing(open_read_only(ours)) as one, closing(open_read_only(theirs)) as other:
        return all(a == b for a, b in zip_longest(one.iterdump(), other.iterdump()))


def _prove_baseline(copy: Path, last_sequence: int) -> None:
    try:
        with closing(open_read_only(copy)) as conn:
            (position,) = conn.execute("SELECT position FROM fold_position").fetchone() or (0,)
    except sqlite3.Error as error:
        raise MoveError(f"{copy} is no baseline: {error}") from error
    if position > last_sequence:
        raise MoveError(
            f"the baseline has events up to #{position}, and the log ends at #{last_sequence}: "
            "put back the one that was kept with this database (see docs/retention.md)"
        )
