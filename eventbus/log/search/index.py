"""The index of the history: a thread that fills it behind the log, and views of it for readers."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from eventbus.errors import LogReadError
from eventbus.log.eventlog import EventLog
from eventbus.log.matcher import has_fts5
from eventbus.log.search import filling, index_file
from eventbus.log.search.filler import Filler
from eventbus.log.search.filling import Work
from eventbus.log.search.source import source_of
from eventbus.log.search.view import View
from eventbus.threads import give_way, start_thread

logger = logging.getLogger("eventbus.search")

# How long after events are recorded they are taken in: a search looks at the rest row by row.
_EVERY_S = 0.25
# A step is followed by a rest, so much longer than itself: with what is new, and with what is old
# while events come in.
_REST, _REST_BUSY = 0.2, 3.0
_LONGEST_REST_S = 0.2
# Parts that retention has touched are made afresh once it has been quiet for so long.
QUIET_S = 5.0
_AGAIN_S = 30.0
# When a server is away, or another process has the index to fill: so long until the next look.
_SERVER_AGAIN_S = 2.0
# How often one looks for what other processes have removed from a log on a server.
UNHEARD_S = 10.0
_PRIORITY = 10
_JOIN_S = 0.5
_POOLED = 8


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far the index is.

    ``behind_count`` positions of the log are not in it yet; ``has_words``: this SQLite can index
    words; ``error``: why it cannot be filled now.
    """

    behind_count: int
    has_words: bool
    size_bytes: int
    error: str | None


class Index:
    """Fills a file beside the log in one thread, "eventbus-history"; any thread may read it.

    It never takes the log's commit lock: what it makes of events is in a file of its own, in
    which nothing is that the log has not, so it may be removed at any time. Of a log on a server
    every machine has its own file: one of its processes fills it, the others read it.
    """

    def __init__(self, log: EventLog, quiet_s: float = QUIET_S) -> None:
        """``quiet_s``: how long retention must have been still before parts are made afresh."""
        self._log = log
        self._path = log.shared_path
        self._quiet_s = quiet_s
        self._is_readable = False
        self._error: str | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()  # guards the four below
        self._stale: set[int] = set()
        self._removed_count = 0
        self._removed_at = 0.0
        self._pool: list[sqlite3.Connection] = []
        self._source = source_of(log)
        self._filler: Filler | None = None
        self._unheard_at = 0.0
        self._conn: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="eventbus-history", daemon=True)

    def start(self) -> None:
        """Begin to fill it, and have the log's history use it. Raises NoThreadError."""
        self._log.removal_listeners.append(self._removed)
        start_thread(self._thread)
        self._log.history.index = self

    def close(self) -> None:
        """Stop; the history does without it from now on."""
        self._log.history.index = None
        self._closing.set()
        conn = self._conn
        if conn is not None:
            with suppress(sqlite3.Error):
                conn.interrupt()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        with self._lock:
            self._is_readable = False
            while self._pool:
                self._pool.pop().close()

    def state(self) -> IndexState:
        """How far it is now."""
        with self.viewing() as view:
            spans = [(0, self._log.last_sequence + 1)]
            if view is not None:
                spans = view.behind(self._log.last_sequence)
        behind = sum(high - low - 1 for low, high in spans)
        return IndexState(behind, has_fts5(), index_file.file_size(self._path), self._error)

    @contextmanager
    def viewing(self) -> Iterator[View | None]:
        """What the index knows, as one state; None while there is nothing to read.

        What goes wrong with its file is raised as LogReadError, and then it is not read again
        before it has been opened anew.
        """
        conn = self._borrowed()
        if conn is None:
            yield None
            return
        try:
            conn.execute("BEGIN")
            yield View(conn)
            conn.execute("ROLLBACK")
        except sqlite3.Error as error:
            conn.close()
            self._is_readable = False
            raise LogReadError(f"the index of the history cannot be read: {error}") from error
        except BaseException:
            conn.close()
            raise
        with self._lock:
            if self._is_readable and len(self._pool) < _POOLED:
                self._pool.append(conn)
                return
        conn.close()

    def _borrowed(self) -> sqlite3.Connection | None:
        if not self._is_readable:
            return None
        with self._lock:
            if self._pool:
                return self._pool.pop()
        try:
            return index_file.open_for_reading(self._path)
        except sqlite3.Error:
            return None

    def _removed(self, sequences: Sequence[int]) -> None:
        """Of these events retention has removed something; called under the commit lock."""
        parts = {index_file.part_of(sequence) for sequence in (sequences[0], sequences[-1])}
        if len(parts) > 1:
            parts = {index_file.part_of(sequence) for sequence in sequences}
        with self._lock:
            self._stale |= parts
            self._removed_count += len(sequences)
            self._removed_at = time.monotonic()

    def _run(self) -> None:
        give_way(_PRIORITY)
        while not self._closing.is_set():
            again_s = _AGAIN_S
            try:
                if self._is_filler():
                    self._conn = index_file.open_for_filling(self._path, self._source)
                    self._is_readable = True
                    self._error = None
                    self._fill(self._conn)
                else:
                    again_s = _SERVER_AGAIN_S
                    self._follow()
            except LogReadError as error:  # what is indexed can be read all the same
                self._error = str(error)
                again_s = _SERVER_AGAIN_S
            except (sqlite3.Error, OSError) as error:
                if not self._closing.is_set():
                    logger.error("the index of the history cannot be filled: %s", error)
                    self._error = str(error)
                    self._give_up(error)
            finally:
                if self._conn is not None:
                    self._conn.close()
                    self._conn = None
            self._closing.wait(again_s)
        if self._filler is not None:
            self._filler.close()

    def _is_filler(self) -> bool:
        """Whether this process fills the file; of a log in a file there is no other."""
        if not self._log.storage.is_on_server:
            return True
        if self._filler is None:
            self._filler = Filler(self._path)
        return self._filler.is_here()

    def _follow(self) -> None:
        """Read what another process of this machine fills, also when it has made it afresh."""
        assert self._filler is not None
        if self._filler.is_new_file():
            with self._lock:
                while self._pool:
                    self._pool.pop().close()
        self._is_readable = self._filler.has_file and index_file.is_whole(self._path)
        self._error = None

    def _give_up(self, error: Exception) -> None:
        """Stop reading it; a file that is damaged goes, since the log has all that was in it."""
        with self._lock:
            self._is_readable = False
            while self._pool:
                self._pool.pop().close()
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            with suppress(OSError):
                index_file.remove(self._path)

    def _fill(self, conn: sqlite3.Connection) -> None:
        while not self._closing.is_set():
            if not self._is_readable:  # a reader has found it damaged
                raise sqlite3.DatabaseError("a reader could not read it")
            self._note_removals(conn)
            self._note_unheard(conn)
            last = self._log.last_sequence
            is_quiet = time.monotonic() > self._removed_at + self._quiet_s
            work = filling.next_work(conn, last, is_quiet)
            if work is None:
                self._closing.wait(_EVERY_S)
            elif work.is_afresh:
                self._make_afresh(conn, work.part, last)
            else:
                began = time.monotonic()
                position = filling.take_in(conn, self._source, work, last)
                self._rest(began, last)
                if position == self._log.last_sequence:
                    self._closing.wait(_EVERY_S)

    def _note_removals(self, conn: sqlite3.Connection) -> None:
        with self._lock:
            parts, count = self._stale, self._removed_count
            self._stale, self._removed_count = set(), 0
        if count:
            filling.mark_stale(conn, parts, count)

    def _note_unheard(self, conn: sqlite3.Connection) -> None:
        now = time.monotonic()
        if not self._log.storage.is_on_server or now < self._unheard_at + UNHEARD_S:
            return
        if self._unheard_at:  # not at once: the file has been compared when it was opened
            index_file.mark_unheard(conn, self._source)
        self._unheard_at = now

    def _make_afresh(self, conn: sqlite3.Connection, part: int, last: int) -> None:
        low, high = index_file.bounds(part)
        end = min(high - 1, last)
        position = low
        filling.begin_afresh(conn, part)
        try:
            while position < end:
                began = time.monotonic()
                position = filling.take_in_afresh(conn, self._source, Work(part, position), last)
                self._rest(began, last)
                if self._closing.is_set():
                    return
            conn.execute("COMMIT")
        finally:
            filling.roll_back(conn)

    def _rest(self, began: float, last: int) -> None:
        """Leave processor and disk to others; the more, the more there is to do for them."""
        took_s = time.monotonic() - began
        is_busy = self._log.last_sequence != last
        rest_s = took_s * (_REST_BUSY if is_busy else _REST)
        self._closing.wait(min(rest_s, _LONGEST_REST_S))
