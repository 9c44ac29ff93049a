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
from eventbus.log.database import Database
from eventbus.log.fold import copy_database
from eventbus.log.integrity import open_read_only

_IN_FLIGHT = "-inflight"


def copy_files(source: Database, target: Database, last_sequence: int) -> tuple[str, ...]:
    """Copy what belongs to the log of ``source``; returns the names of what was.

    All else that stands beside a log is made anew. Raises MoveError, OSError.
    """
    copied = []
    for companion in COMPANIONS:
        there, copy = companion.of(source.shared_path), companion.of(target.shared_path)
        if companion.is_data and there.exists():
            copy_database(there, copy)
            _prove_baseline(copy, last_sequence)
        elif companion.suffix == _IN_FLIGHT:
            there, copy = companion.of(source.path), companion.of(target.path)
            if not there.exists() or not any(there.read_bytes()):
                continue
            # What a crash has cut off is counted as an attempt by the next server.
            shutil.copyfile(there, copy)
        else:
            continue
        sync(copy)
        copied.append(copy.name)
    return tuple(copied)


def compare_files(source: Database, target: Database) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of what is the same, and sentences about what is not."""
    same, findings = [], []
    for companion in COMPANIONS:
        ours, theirs = companion.of(source.shared_path), companion.of(target.shared_path)
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
