"""Snapshots of a fold of the log, beside the database: copies, and steps from one to the next.

``events.db-travel/000000050000.base`` is a whole fold, ``000000050000.steps`` what changed behind
it. Nothing here is needed: what is missing, damaged or of another log is made again from the log.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Table
from sqlalchemy.exc import SQLAlchemyError

from eventbus.errors import LogError
from eventbus.log.fold import Fold, copy_database, fold_path, remove_files
from eventbus.log.moments import Mark, is_of
from eventbus.log.row_steps import RowSteps, apply_steps, begin_steps, cut_steps, read_marks

logger = logging.getLogger("eventbus.travel")

TROUBLES = (sqlite3.Error, SQLAlchemyError, LogError, OSError)
"""What reading a file that is missing or damaged raises."""


@dataclass(slots=True)
class _Segment:
    """What follows one copy of the fold up to the next; ``marks[0]`` is where it begins."""

    folder: Path
    marks: list[Mark] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.marks[0].position

    @property
    def end(self) -> int:
        return self.marks[-1].position

    @property
    def base(self) -> Path:
        return self.folder / f"{self.start:012}.base"

    @property
    def steps(self) -> Path:
        return self.folder / f"{self.start:012}.steps"

    def remove(self) -> None:
        remove_files(self.base)
        remove_files(self.steps)


class Snapshots:
    """The folder of one log's snapshots.

    Who changes what is there holds ``lock``. Any thread may read: what it looks at is replaced and
    never changed; a file that is gone meanwhile is one of TROUBLES.
    """

    def __init__(self, log_path: Path, tables: Sequence[Table], made_by: str) -> None:
        """``made_by`` tells apart what made them: others' are removed."""
        self._log_path = log_path
        self._folder = log_path.with_name(log_path.name + "-travel")
        self._tables = tables
        self._made_by = made_by
        self.lock = threading.RLock()
        """Held by whoever changes what is there."""
        self._segments: tuple[_Segment, ...] = ()
        self.generation = 0
        """Grows when what was there before holds no more."""

    @property
    def position(self) -> int | None:
        """Where the last snapshot is; None without any."""
        segments = self._segments
        return segments[-1].end if segments else None

    @property
    def start(self) -> int | None:
        """Where the first snapshot is; None without any."""
        segments = self._segments
        return segments[0].start if segments else None

    @property
    def segment_start(self) -> int:
        """Where the last copy is."""
        return self._segments[-1].start

    def count_bytes(self) -> int:
        """How much room they take."""
        if not self._folder.exists():
            return 0
        total = 0
        for file in self._folder.iterdir():
            with suppress(OSError):  # removed meanwhile
                total += file.stat().st_size
        return total

    def open(self, conn: Connection) -> None:
        """Look what is there, and remove what is not of this log, which ``conn`` reads."""
        segments: list[_Segment] = []
        for path in sorted(self._folder.glob("*.steps")):
            try:
                made_by, marks = read_marks(path)
            except TROUBLES as error:
                logger.warning("the snapshots in %s cannot be read: %s", path, error)
                break
            segment = _Segment(self._folder, marks)
            if made_by != self._made_by or not marks or segment.steps != path:
                break
            if segments and segment.start != segments[-1].end:
                break
            valid = [mark for mark in marks if is_of(conn, mark)]
            if not valid or not segments and not segment.base.exists():
                break
            segment.marks = valid
            segments.append(segment)
            if len(valid) < len(marks):
                cut_steps(path, segment.end)
                break
        self._segments = tuple(segments)
        kept = {file for segment in segments for file in (segment.base, segment.steps)}
        for path in [*self._folder.glob("*.steps"), *self._folder.glob("*.base*")]:
            if path not in kept:
                remove_files(path)

    def begin(self, fold: Fold, mark: Mark) -> None:
        """A copy of ``fold`` as it is, at ``mark``; further steps follow it."""
        self._folder.mkdir(exist_ok=True)
        segment = _Segment(self._folder, [mark])
        remove_files(segment.steps)
        unfinished = segment.base.with_suffix(".base-new")
        copy_database(fold.path, unfinished)
        unfinished.replace(segment.base)
        begin_steps(fold, self._tables, segment.steps, self._made_by, mark)
        self._segments = (*self._segments, segment)

    def add(self, steps: RowSteps, mark: Mark) -> None:
        """What has changed since the last snapshot, up to ``mark``."""
        segment = self._segments[-1]
        steps.write(segment.steps, mark)
        segment.marks = [*segment.marks, mark]

    def clear(self) -> None:
        """Remove all of them."""
        self.cut(-1)

    def cut(self, after: int) -> None:
        """Remove those behind a position."""
        self.generation += 1
        kept: list[_Segment] = []
        gone: list[_Segment] = []
        for segment in self._segments:
            (kept if segment.start <= after else gone).append(segment)
        if kept and kept[-1].end > after:
            last = kept[-1]
            last.marks = [mark for mark in last.marks if mark.position <= after]
            cut_steps(last.steps, last.end)
        self._segments = tuple(kept)
        for segment in gone:
            segment.remove()

    def before(self, position: int) -> Mark | None:
        """The last snapshot at or before a position."""
        for segment in reversed(self._segments):
            if segment.start <= position:
                return max(
                    (mark for mark in segment.marks if mark.position <= position),
                    key=lambda mark: mark.position,
                )
        return None

    def restore(self, position: int) -> Fold:
        """A fold of its own that is at the snapshot at ``position``.

        Raises one of TROUBLES when files are missing or damaged.
        """
        segments = self._segments
        usable = [
            i for i, one in enumerate(segments) if one.start <= position and one.base.exists()
        ]
        if not usable:
            raise FileNotFoundError(f"no copy before #{position} is in {self._folder}")
        first = usable[-1]
        scratch = fold_path(self._log_path)
        try:
            shutil.copyfile(segments[first].base, scratch)
            fold = Fold(scratch)
        except BaseException:
            remove_files(scratch)
            raise
        try:
            if fold.position != segments[first].start:
                raise sqlite3.DatabaseError(f"{segments[first].base} is at #{fold.position}")
            self._put(fold, segments[first:], position)
        except BaseException:
            fold.remove()
            raise
        return fold

    def advance(self, fold: Fold, position: int) -> None:
        """Put a fold that is behind the first snapshot forward to the one at ``position``.

        Raises one of TROUBLES; then the fold may be at any snapshot on the way.
        """
        self._put(fold, [one for one in self._segments if one.end > fold.position], position)

    def _put(self, fold: Fold, segments: Sequence[_Segment], position: int) -> None:
        for segment in segments:
            upto = min(position, segment.end)
            if upto > fold.position:
                apply_steps(fold, self._tables, segment.steps, upto)

    def drop_damaged(self, position: int) -> None:
        """Remove what cannot be read on the way to ``position``, and all that rests on it."""
        with self.lock:
            self._drop_damaged(position)

    def _drop_damaged(self, position: int) -> None:
        segments = self._segments
        for segment in segments:
            if segment.start > position:
                return
            try:
                if segment.base.exists():
                    _check(segment.base)
                    _check_position(segment)
                elif segment is segments[0]:
                    raise FileNotFoundError(segment.base)
            except TROUBLES as error:
                logger.warning("the snapshot %s cannot be used: %s", segment.base, error)
                remove_files(segment.base)
                if segment is segments[0]:
                    self.clear()
                    return
            try:
                _check(segment.steps)
                read_marks(segment.steps)
            except TROUBLES as error:
                logger.warning("the snapshots %s cannot be used: %s", segment.steps, error)
                self.cut(segment.start - 1)
                return

    def thin(self, most_bytes: int, floor: int) -> None:
        """Remove what is before ``floor``, then old copies until ``most_bytes`` are enough.

        Of the copies the old ones become sparse: it takes a little longer to get to such times.
        When that is not enough, the oldest times go.
        """
        while len(self._segments) > 1:
            second = self._segments[1]
            if second.start <= floor and second.base.exists():
                self._drop_first()
                continue
            if self.count_bytes() <= most_bytes:
                return
            middle = [one for one in self._segments[1:-1] if one.base.exists()]
            if middle:
                remove_files(self._sparest(middle).base)
            elif second.base.exists():
                self._drop_first()
            else:
                return

    def _sparest(self, middle: Sequence[_Segment]) -> _Segment:
        """The copy whose absence matters least: next to another, and long ago."""
        end = self._segments[-1].end
        starts = [one.start for one in self._segments if one.base.exists()]

        def price(segment: _Segment) -> float:
            at = starts.index(segment.start)
            return (starts[at + 1] - starts[at - 1]) / (end - segment.start + 1)

        return min(middle, key=price)

    def _drop_first(self) -> None:
        first, *others = self._segments
        self._segments = tuple(others)
        first.remove()


def _check_position(segment: _Segment) -> None:
    conn = sqlite3.connect(f"{segment.base.as_uri()}?mode=ro", uri=True)
    try:
        found = conn.execute("SELECT position FROM fold_position").fetchone()
        if found != (segment.start,):
            raise sqlite3.DatabaseError(f"it is at {found}, not at #{segment.start}")
    finally:
        conn.close()


def _check(path: Path) -> None:
    conn = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        found = conn.execute("PRAGMA quick_check(1)").fetchone()
        if found[0] != "ok":
            raise sqlite3.DatabaseError(found[0])
    finally:
        conn.close()
