"""A backup: a consistent copy of a log while it is written, proved before it gets its name."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from eventbus.errors import BackupError
from eventbus.log.companions import COMPANIONS
from eventbus.log.integrity import IntegrityCheck, newest, open_read_only
from eventbus.timestamps import from_microseconds

Progress = Callable[[int, int], None]
"""Gets how many pages are copied and how many there are."""

# One step copies 2 MiB and then lets others have the disk and the processor.
_STEP_PAGES = 512
_REST_S = 0.002


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made and checked; ``last_time`` is of the newest event, if there is one."""

    path: Path
    event_count: int
    last_sequence: int
    last_time: datetime | None
    size_bytes: int
    duration_s: float


def make_backup(source: Path, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the log at ``source``, which a server may be writing, to the new file ``target``.

    The copy is of one moment, that of the call. It reads in a transaction of its own, so it never
    blocks a commit; meanwhile the write-ahead log grows by what is published. The file has its
    name only once it is complete, checked and on disk. Blocks; raises BackupError.
    """
    started = time.monotonic()
    if not source.is_file():
        raise BackupError(f"there is no log at {source}")
    for made in (target, *(c.of(target) for c in COMPANIONS if c.is_data)):
        if os.path.lexists(made):
            raise BackupError(f"{made} is there already; a backup never overwrites anything")
    if not target.parent.is_dir():
        raise BackupError(f"the directory {target.parent} does not exist")
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        with closing(open_read_only(source)) as conn:
            conn.execute("BEGIN")
            (count,) = conn.execute("SELECT count(*) FROM events").fetchone()
            last = newest(conn)  # both begin the snapshot that is copied
            copy_database(conn, partial, progress)
        shutil.copymode(source, partial)
        _prove(partial, count, last[0])
        for companion in COMPANIONS:  # after the log: they may be ahead of it, never behind
            if companion.is_data and companion.of(source).exists():
                with closing(open_read_only(companion.of(source))) as conn:
                    copy_database(conn, companion.of(target), None)
                sync(companion.of(target))
                if companion.suffix == "-baseline":
                    _prove_baseline(companion.of(target), partial, last[0])
        os.link(partial, target)  # unlike a renaming, it never replaces what has come meanwhile
        partial.unlink()
        sync(target.parent)
    except FileExistsError as error:
        raise BackupError(f"{target} is there already") from error
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"the backup {target} cannot be made: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Backup(
        target, count, last[0], None if last[1] is None else from_microseconds(last[1]),
        target.stat().st_size, time.monotonic() - started,
    )  # fmt: skip


def copy_database(conn: sqlite3.Connection, target: Path, progress: Progress | None) -> None:
    """Copy what ``conn`` sees to a new file, on disk when it returns; in steps, with rests.

    In a transaction of ``conn`` it is one state, whatever is written meanwhile. The copy is a
    single file: it has no write-ahead log. Raises sqlite3.Error, OSError.
    """

    def rest(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)
        time.sleep(_REST_S)

    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # all of it is synchronised once, at the end
        conn.backup(copy, pages=_STEP_PAGES, progress=rest)
        copy.execute("PRAGMA journal_mode = DELETE")
    sync(target)


def sync(path: Path) -> None:
    """Have a file's content, or a directory's names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prove_baseline(copy: Path, log: Path, last_sequence: int) -> None:
    """It must not be ahead of the log: it is copied later, and nothing young is put into it."""
    with closing(open_read_only(log)) as conn:
        if conn.execute("SELECT 1 FROM removals LIMIT 1").fetchone() is None:
            return  # it is not used as long as nothing is removed
    with closing(open_read_only(copy)) as conn:
        (position,) = conn.execute("SELECT position FROM fold_position").fetchone() or (0,)
    if position > last_sequence:
        copy.unlink()
        raise BackupError(
            f"retention came up to #{position} while the log was copied up to #{last_sequence}; "
            "make the backup again"
        )


def _prove(copy: Path, count: int, last_sequence: int) -> None:
    report = IntegrityCheck(copy).run()
    assert report is not None, "nobody interrupts it"
    if report.problems:
        raise BackupError(
            f"the log is damaged, and a copy of it would be, too: {report.problems[0]} "
            f"({len(report.problems)} findings)"
        )
    if (report.event_count, report.last_sequence) != (count, last_sequence):
        raise BackupError(
            f"the copy has {report.event_count} events up to #{report.last_sequence}, the log had "
            f"{count} up to #{last_sequence}"
        )
