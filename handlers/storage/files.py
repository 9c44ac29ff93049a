"""The read model of files: which there are, and how much of them belongs to an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from eventbus.log import EventLog
from eventbus.timestamps import from_microseconds
from handlers.storage.table import files, is_there

_MOST_FILES = 1_000


@dataclass(frozen=True, slots=True)
class File:
    """One file that was created and not deleted; ``bytes`` is its size."""

    path: str
    bytes: int
    kind: str | None
    eval_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FileTotals:
    """How many files an evaluation has, and their size together."""

    count: int
    bytes: int


class Files:
    """Questions about files; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def list(self, eval_id: str, limit: int = 100) -> Sequence[File]:
        """The files of an evaluation, the newest first, at most 1000."""
        query = (  # ix_files_eval
            select(files.c.path, files.c.bytes, files.c.kind, files.c.eval_id, files.c.created_at)
            .where(files.c.eval_id == eval_id, is_there)
            .order_by(files.c.sequence.desc())
            .limit(max(1, min(limit, _MOST_FILES)))
        )
        with self._log.reading() as conn:
            rows = conn.execute(query).all()
        return [File(*row[:-1], from_microseconds(row.created_at)) for row in rows]

    def totals(self, eval_id: str) -> FileTotals:
        """The files of an evaluation in sum."""
        query = select(func.count(), func.coalesce(func.sum(files.c.bytes), 0)).where(
            files.c.eval_id == eval_id, is_there  # ix_files_eval alone answers it
        )  # fmt: skip
        with self._log.reading() as conn:
            return FileTotals(*conn.execute(query).one())
