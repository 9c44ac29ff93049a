"""The table of files, and how changes of many are written at once."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    bindparam,
    false,
    select,
)

from handlers.tables import RowWriter, metadata, rows_for

files = Table(
    "files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("kind", Text),
    Column("eval_id", Text),
    Column("created_at", BigInteger, nullable=False),
    # A deleted file keeps its row, so that an older "created" that comes late cannot revive it.
    Column("is_deleted", Boolean, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)
is_there = files.c.is_deleted == false()
ix_files_eval = Index(
    "ix_files_eval",
    files.c.eval_id,
    files.c.sequence,
    files.c.bytes,
    sqlite_where=is_there,
    postgresql_where=is_there,
)

_by_paths = select(files.c.path, files.c.sequence).where(  # primary key
    files.c.path.in_(bindparam("keys", expanding=True))
)
_writer = RowWriter(files, ["path"])


class FileChange(NamedTuple):
    """What one event says about a file: a row of its table, with the columns in their order.

    ``created_at`` is in microseconds since the epoch; the change with the highest sequence holds.
    """

    path: str
    bytes: int
    kind: str | None
    eval_id: str | None
    created_at: int
    is_deleted: bool
    sequence: int


def apply(conn: Connection, changes: list[FileChange]) -> None:
    """Keep the newest change of each file; one transaction's worth of events."""
    newest: dict[str, FileChange] = {}
    for change in sorted(changes, key=lambda change: change.sequence):
        newest[change.path] = change
    known = {row.path: row.sequence for row in rows_for(conn, _by_paths, newest)}
    new = [change for path, change in newest.items() if path not in known]
    changed = [
        change for path, change in newest.items()
        if path in known and known[path] < change.sequence
    ]  # fmt: skip
    _writer.save(conn, new, changed)
