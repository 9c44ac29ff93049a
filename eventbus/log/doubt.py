"""Whether a transaction was committed whose COMMIT got no answer: the server knows its number."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from eventbus.errors import LogWriteError
from eventbus.log.storage import storage_code

# PostgreSQL's manual, 9.27.7: "committed", "aborted", "in progress", or NULL for one long ago.
_STATUS = text("SELECT pg_xact_status(CAST(:number AS xid8))")
# A backend that has lost its client in the middle of a COMMIT ends it, which takes the disk's time.
_PATIENCE_S = 2.0
_LOOK_S = 0.02


def was_committed(conn: Connection, number: str, error: BaseException) -> bool:
    """Whether transaction ``number`` was committed, though its COMMIT failed with ``error``.

    ``conn`` is the writer's connection outside a transaction, which connects anew. Raises
    LogWriteError, which says so, when it cannot be found out.
    """
    code = storage_code(error) or ""
    if code[:2] not in ("08", "57"):
        return False  # the server has answered: it did not commit
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with conn.begin():
                status = conn.execute(_STATUS, {"number": number}).scalar()
            if status != "in progress" or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S)
    except SQLAlchemyError:
        status = None
    if status in ("committed", "aborted"):
        return bool(status == "committed")
    raise LogWriteError(
        "the log was lost in the middle of a commit, and it is not known whether anything was "
        "recorded: publish it again with the same id, which records it once"
    ) from error
