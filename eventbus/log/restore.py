"""Restoring a backup: proved first, put in the database's place at once, the old one kept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eventbus.errors import BackupError, LogError
from eventbus.event import Event
from eventbus.log.backup import Progress, copy_database, sync
from eventbus.log.companions import COMPANIONS
from eventbus.log.eventlog import EventLog
from eventbus.log.integrity import IntegrityCheck, IntegrityReport, open_read_only
from eventbus.log.lockfile import LockFile
from eventbus.log.migrations import LOG_MIGRATIONS
from eventbus.log.unit import Unit

RESTORED = "bus.restored"
"""The type of the event that a restore records in the log that it has restored."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored; ``kept`` is the new name of the database that was there, if one was."""

    path: Path
    report: IntegrityReport
    kept: Path | None


def prove_backup(copy: Path, known_versions: Mapping[str, int]) -> IntegrityReport:
    """Check that ``copy`` is a whole log that this software can open; blocks.

    ``known_versions`` has the newest schema version of each component beside the log itself. The
    report may have findings, never problems. Raises BackupError.
    """
    if not copy.is_file():
        raise BackupError(f"there is no backup at {copy}")
    known = {**known_versions, "log": len(LOG_MIGRATIONS)}
    try:
        with closing(open_read_only(copy)) as conn:
            versions = conn.execute("SELECT component, version FROM schema_versions").fetchall()
    except sqlite3.Error as error:
        raise BackupError(f"{copy} is not the backup of a log: {error}") from error
    if "log" not in dict(versions):
        raise BackupError(f"{copy} is not the backup of a log: it has no events")
    for component, version in versions:
        if version > known.get(component, version):
            raise BackupError(
                f"{copy} is of newer software: its {component} schema has version {version}, "
                f"this software knows versions up to {known[component]}"
            )
    report = IntegrityCheck(copy).run()
    assert report is not None, "nobody interrupts it"
    if report.problems:
        raise BackupError(
            f"{copy} is damaged and was not restored: {report.problems[0]} "
            f"({len(report.problems)} findings)"
        )
    return report


def restore_backup(
    copy: Path,
    target: Path,
    known_versions: Mapping[str, int],
    progress: Progress | None = None,
) -> Restored:
    """Put ``copy`` in the place of the database ``target``, which no process may have open.

    What was there is kept beside it under a new name, with the files that belong to it. The
    restored log records this as ``bus.restored``. Cut off in the middle, ``target`` cannot be
    opened until a restore has ended. The files belong to whom the database belonged to, so that a
    command of root leaves a service what it may write. Blocks; raises BackupError, LogError,
    LogLockedError.
    """
    target = target.resolve()
    if target.exists() and copy.exists() and copy.samefile(target):
        raise BackupError(f"{copy} is the database itself")
    report = prove_backup(copy, known_versions)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = (target if target.exists() else target.parent).stat()
        lock = LockFile(target)
    except OSError as error:
        raise BackupError(f"{target} cannot be restored: {error}") from error
    was_cut_off = lock.found_state == "restoring"
    is_clean = not was_cut_off
    fresh = target.with_name(target.name + "-restoring")
    try:
        if was_cut_off:
            lock.mark("restoring")
        _remove(fresh)
        _prepare(copy, fresh, report, progress)
        lock.mark("restoring")
        is_clean = False
        _give(fresh, before)
        kept = _put_in_place(copy, fresh, target)
        for companion in COMPANIONS:
            _give(companion.of(target), before)
        _give(target.with_name(target.name + "-lock"), before)
        is_clean = True
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{copy} cannot be restored to {target}: {error}") from error
    finally:
        _remove(fresh)
        lock.close(is_clean)
    return Restored(target, report, kept)


def _prepare(copy: Path, fresh: Path, report: IntegrityReport, progress: Progress | None) -> None:
    """A copy that has been opened as a log, and brought to this software's schema by that."""
    with closing(open_read_only(copy)) as conn:
        conn.execute("BEGIN")
        copy_database(conn, fresh, progress)
    log = EventLog(f"sqlite:///{fresh}")
    try:
        if log.last_sequence != report.last_sequence:
            raise LogError(f"opened, {copy} ends at #{log.last_sequence}: it has changed meanwhile")
        log.start(lambda recorded, batch: None)
        data = {
            "backup": copy.name,
            "events": report.event_count,
            "sequence": report.last_sequence,
        }
        log.commit(Unit([Event.create(RESTORED, data, source="/eventbus/restore")]))
    finally:
        log.close()
    sync(fresh)


def _put_in_place(copy: Path, fresh: Path, target: Path) -> Path | None:
    kept = None
    if target.exists():
        kept = _free_name(target)
        # The journals first: beside a database that is not theirs they would damage it.
        for companion in COMPANIONS:
            if companion.of(target).exists():
                companion.of(target).rename(companion.of(kept))
        target.rename(kept)
    else:
        for companion in COMPANIONS:
            companion.of(target).unlink(missing_ok=True)
    for companion in COMPANIONS:
        if companion.is_data and companion.of(copy).exists():
            with closing(open_read_only(companion.of(copy))) as conn:
                copy_database(conn, companion.of(target), None)
    fresh.rename(target)
    sync(target.parent)
    return kept


def _give(path: Path, before: os.stat_result) -> None:
    """Give ``path``, if it is there, the owner of ``before``, and its mode if that is a file's."""
    # Only root may give away; for all others the owner is the same, or cannot be changed.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        if stat.S_ISREG(before.st_mode):
            path.chmod(stat.S_IMODE(before.st_mode))
        os.chown(path, before.st_uid, before.st_gid)


def _free_name(target: Path) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = f"{target.name}.before-restore-{moment}", 2
    free = target.with_name(name)
    while free.exists():
        free = target.with_name(f"{name}-{number}")
        number += 1
    return free


def _remove(path: Path) -> None:
    """Remove a database that was never in use, with all that is beside it."""
    for suffix in ("", "-lock", *(companion.suffix for companion in COMPANIONS)):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
