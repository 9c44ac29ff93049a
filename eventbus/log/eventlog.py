"""The event log: the one door to the database for the bus that writes and the readers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from eventbus.clock import SYSTEM_CLOCK, Clock
from eventbus.event import Event
from eventbus.log import head
from eventbus.log.alone import Alone
from eventbus.log.commit import GroupCommit
from eventbus.log.counts import TypeCount
from eventbus.log.database import open_database
from eventbus.log.dead_letters import DeadLetters
from eventbus.log.deliveries import DeliveryReader
from eventbus.log.delivery_lists import DeliveryLists
from eventbus.log.feed import Feed, Listener
from eventbus.log.fold import remove_leftovers
from eventbus.log.folding_lock import FoldingLock
from eventbus.log.history import HistoryReader
from eventbus.log.inflight import InFlight
from eventbus.log.integrity import IntegrityReport
from eventbus.log.known_types import KnownTypes
from eventbus.log.measures import CommitMeasures
from eventbus.log.migrations import LOG_MIGRATIONS, Migration, migrate
from eventbus.log.move.bookmarks import refuse_unfinished
from eventbus.log.reader import Reader
from eventbus.log.removals import newest_removed
from eventbus.log.removals import so_far as removals_so_far
from eventbus.log.replays import ReplayReader
from eventbus.log.schedules import Schedules
from eventbus.log.selections import Selection
from eventbus.log.sharing import shared
from eventbus.log.storage import open_failure
from eventbus.log.subscribers import Subscriber, Subscribers
from eventbus.log.subscription_changes import SubscriptionChanges
from eventbus.log.unit import Unit
from eventbus.log.values import (
    Chunk,
    Delivery,
    DeliveryPage,
    DeliveryState,
    EventPage,
    EventQuery,
    Trace,
    TypeSeen,
)
from eventbus.log.writer import Deliveries, Writer
from eventbus.patterns import Pattern
from eventbus.tracing import Tracing

logger = logging.getLogger("eventbus.log")

AfterCommit = Callable[[Deliveries, list[Unit]], None]


class EventLog:
    """The durable log, in SQLite or PostgreSQL.

    Reading methods may be called from any thread. Writing goes through units: ``submit`` from
    an event loop, ``commit`` from a plain thread. After every commit, in its thread and under
    the commit lock (so in sequence order), ``after_commit`` gets what was recorded and every
    listener the events: they must only hand over.
    """

    def __init__(self, url: str, files: Path | None = None) -> None:
        """Open or create the log; ``files`` is the folder for what stands beside one on a server.

        Raises LogError, LogLockedError or SchemaError.
        """
        self._database = open_database(url, files)
        self.storage = self._database.storage
        try:
            conn = self._database.writer
            refuse_unfinished(conn, self.storage.name)
            migrate(conn, "log", LOG_MIGRATIONS)
            self._subscribers = Subscribers(conn)
            self.schedules = Schedules(conn, self._database)
            with conn.begin():
                newest = head.newest_sequence(conn)
                self.known_types = KnownTypes(conn)
                removed, gone = removals_so_far(conn)
            remove_leftovers(self._database.path)
            self.in_flight = InFlight(
                self._database.path.with_name(self._database.path.name + "-inflight")
            )
        except SQLAlchemyError as error:
            self._database.close()
            raise open_failure(self._database.path, error) from error
        except BaseException:
            self._database.close()
            raise
        self._writer = Writer(self._database, newest, self._subscribers, self._committed)
        self._commit = GroupCommit(self._write)
        self.subscription_changes = SubscriptionChanges(
            self._subscribers, self._commit, lambda: self._writer.last_sequence, self.channel
        )
        self.commits = CommitMeasures()
        self.tracing: Tracing | None = None
        self._folding = FoldingLock(self._database)
        self.rebuilding = Alone(self._database, "rebuild")
        self._feed = Feed(newest, self.known_types)
        self.follower, self.leases, self.flights = shared(self._database, self, self._feed)
        self.recorders = self.in_flight, self.flights
        self.change_listeners: list[Callable[[set[str]], None]] = []
        """Called with the topics of what other processes have committed."""
        self.removal_listeners: list[Callable[[Sequence[int]], None]] = []
        """Called with the sequences of which a commit has removed something."""
        self._after_commit: AfterCommit | None = None
        self.clock: Clock = SYSTEM_CLOCK
        self.bus_name: str = ""  # in the ids of what its handlers publish, unless it is ""
        self.version: int = 0
        """Grows with every commit of any kind: whether anything changed."""
        self.removed_upto: int = removed
        """The newest event of which retention has removed something; 0 for none."""
        self.id: str = uuid4().hex[:12]
        self.removed_count: int = gone
        """How many events retention has removed."""
        self._reader = Reader(self._database, lambda: self.last_sequence, self.known_types)
        self.history = HistoryReader(self._database, lambda: self.last_sequence, self.known_types)
        self.delivery_reader = DeliveryReader(self._database)
        self.dead_letters = DeadLetters(self._database)
        self.delivery_lists = DeliveryLists(self._database, self.known_types, self.dead_letters)
        self.replay_reader = ReplayReader(self._database, self.known_types)

    def start(self, after_commit: AfterCommit, clock: Clock = SYSTEM_CLOCK) -> None:
        """Begin to take units."""
        self._after_commit = after_commit
        self.clock = self._writer.clock = clock
        self._commit.start()
        if self.follower is not None:
            self.follower.start()

    @property
    def last_sequence(self) -> int:
        """The newest recorded sequence; everything up to it can be read."""
        return self._feed.last_sequence

    @property
    def channel(self) -> str:
        """On which processes tell each other of commits; "" where one has the log to itself."""
        return self._database.channel

    @property
    def is_forked(self) -> bool:
        """Whether this is a copy in a child process, which must neither write nor close it."""
        return self._commit.is_forked

    def close(self) -> None:
        """Commit what is queued, then close the files."""
        if self.follower is not None:
            self.follower.close()
        self._commit.close()
        self.in_flight.close()
        if self.flights is not None:
            self.flights.close()
        self._folding.close()
        self.rebuilding.free()
        self._database.close()
        if self.leases is not None:  # last: who gets them now finds all of it committed
            self.leases.close()

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    @property
    def shared_path(self) -> Path:
        """The same for what all processes of this machine that share the log have together."""
        return self._database.shared_path

    @property
    def owes_check(self) -> bool:
        """Whether a process that had the log open did not close it, and nobody checked it since."""
        return self._database.owes_check

    def checked(self, report: IntegrityReport) -> None:
        """Take the result of a check of this log: a damaged one takes no more events."""
        if report.problems:
            self.storage.damaged(report.problems[0])
        self._database.owes_check = False

    @property
    def is_committing(self) -> bool:
        """Whether a commit is under way now."""
        return self._commit.is_committing

    @property
    def is_writer_alive(self) -> bool:
        """Whether what event loops submit is committed."""
        return self._commit.is_alive

    # -- writing -----------------------------------------------------------------------------

    def submit(self, unit: Unit) -> None:
        """Queue a unit for the next commit and return at once."""
        self._commit.submit(unit)

    def submit_patiently(self, unit: Unit) -> None:
        """Queue a unit for whichever commit comes next; ``hurry`` makes one come."""
        self._commit.submit_patiently(unit)

    def hurry(self) -> None:
        """Have what is queued committed now."""
        self._commit.hurry()

    def submit_bounded(self, unit: Unit) -> None:
        """As ``submit``, but when too much waits already, block for the commit."""
        self._commit.submit_bounded(unit)

    def commit(self, unit: Unit) -> None:
        """Make a unit durable; blocks, and raises the unit's error (LogWriteError)."""
        self._commit.commit(unit)

    def wait(self, unit: Unit, timeout_s: float | None = None) -> None:
        """Block until a submitted unit is durable; as ``commit``, or ReceiptTimeoutError."""
        self._commit.wait(unit, timeout_s)

    @property
    def paused_ids(self) -> Set[int]:
        """The ids of the subscriptions that are paused, as they are at every moment."""
        return self._subscribers.paused_ids

    def subscribers(self) -> list[Subscriber]:
        """The durable subscriptions, also those that no handler serves now."""
        return self._subscribers.all()

    def between_commits(
        self, function: Callable[[Connection], None], then: Callable[[], None] = lambda: None
    ) -> None:
        """Run ``function`` in this thread, in a transaction of its own between two commits.

        ``then`` is called when it is committed, before the next. Blocks for its turn, and
        everybody who publishes while it runs. What it raises is raised.
        """

        def run() -> None:
            self._writer.alone(function)
            then()
            self.version += 1

        self._commit.exclusively(run)

    def tell_others(self, conn: Connection, topic: str) -> None:
        """Have other processes of the log told of it when this transaction is committed."""
        if self.channel:
            head.tell(conn, self.channel, topic)

    def removing_nothing(self) -> AbstractContextManager[None]:
        """While this is held, by one thread of a process at a time, retention removes nothing.

        Blocks. Raises LogReadError.
        """
        return self._folding.removing_nothing()

    def removing(self, wait_s: float) -> AbstractContextManager[bool]:
        """Whether something may be removed while this is held: not while somebody folds the log.

        Waits up to ``wait_s`` seconds for that. Raises LogReadError.
        """
        return self._folding.removing(wait_s)

    def removed(self, sequences: Sequence[int], event_count: int) -> None:
        """Note a commit that removed something of these, ascending; under the commit lock."""
        self.removed_upto = max(self.removed_upto, sequences[-1])
        self.removed_count += event_count
        for listener in self.removal_listeners:
            listener(sequences)

    def newest_removed(self, pattern: Pattern, after: int) -> int | None:
        """The newest event after a sequence that may be missing to who reads on from there.

        None when all that match the pattern are there.
        """
        if after >= self.removed_upto:
            return None
        with self.reading() as conn:
            return newest_removed(conn, pattern, after)

    def migrate(self, component: str, migrations: Sequence[Migration]) -> None:
        """Run a component's missing migrations (a read model's tables), each in a transaction."""

        def run() -> None:
            migrate(self._database.writer, component, migrations)

        self._commit.exclusively(run)

    # -- after a commit ----------------------------------------------------------------------

    def add_listener(self, listener: Listener) -> None:
        """Have ``listener`` called with the events of each commit; it must only hand over."""
        self._feed.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        self._feed.remove(listener)

    def _write(self, batch: list[Unit]) -> None:
        if self.storage.refuse(batch):
            self._committed([], batch)
        else:
            self.commits.begin()
            self._writer.write(batch)

    def _committed(self, recorded: Deliveries, batch: list[Unit]) -> None:
        if self.storage.wrote(batch):
            self.commits.ended(len(recorded))
        else:
            self.commits.failed += 1
        if self.tracing is not None:
            self.tracing.committed(batch, self.commits.last_us, len(recorded))
        for unit in batch:
            if unit.call is not None and unit.error is None and unit.token is not None:
                unit.token()
        self.version += 1
        with self._feed.lock:
            self._hand_on(self._feed.put(recorded), batch)

    def _hand_on(self, recorded: Deliveries, batch: list[Unit]) -> None:
        if self._after_commit is not None:
            self._after_commit(recorded, batch)

    def followed(self, recorded: Deliveries) -> None:
        """Hand on what another process has recorded, all that comes next."""
        with self._feed.lock:
            self.version += 1
            self._hand_on(self._feed.put(recorded, is_next=True), [])

    def changed_elsewhere(self, topics: set[str]) -> None:
        """Take note that another process has committed something."""
        if head.SUBSCRIPTIONS in topics:
            self._commit.commit(Unit(call=lambda conn: None))  # which reads them first
        if head.MISSED in topics:
            with self.reading() as conn:
                last, gone = removals_so_far(conn)
            if gone > self.removed_count:
                self.removed([last], gone - self.removed_count)
        for sequences, count in head.removals(topics, but_by=self.id):
            self.removed(sequences, count)
        self.version += 1
        for listener in self.change_listeners:
            try:
                listener(topics)
            except Exception:
                logger.exception("what another process has changed is not taken note of")

    # -- reading -----------------------------------------------------------------------------

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection on one committed state, for read models."""
        return self._database.reading()

    def get(self, event_id: str, source: str | None = None) -> Event | None:
        return self._reader.get(event_id, source)

    def get_by_sequence(self, sequence: int) -> Event | None:
        return self._reader.get_by_sequence(sequence)

    def read(
        self, after: int, limit: int = 1000, pattern: Pattern | None = None, upto: int | None = None
    ) -> Chunk:
        return self._reader.read(after, limit, pattern, upto)

    def query(self, query: EventQuery) -> EventPage:
        return self.history.page(query)

    def trace(self, event_id: str, limit: int = 1000) -> Trace | None:
        return self._reader.trace(event_id, limit)

    def types(self) -> list[TypeSeen]:
        return self._reader.types()

    def counts(self, after: int, upto: int, pattern: Pattern | None = None) -> list[TypeCount]:
        return self._reader.counts(after, upto, pattern)

    def newest_before(self, moment: datetime) -> int:
        return self._reader.newest_before(moment)

    def deliveries(self, sequence: int) -> list[Delivery]:
        return self.delivery_reader.of_event(sequence)

    def list_deliveries(
        self, state: DeliveryState, limit: int = 50, cursor: str | None = None,
        selection: Selection | None = None,
    ) -> DeliveryPage:  # fmt: skip
        return self.delivery_lists.page(state, limit, cursor, selection)

    def delivery_counts(self) -> dict[str, int]:
        counts = self.delivery_reader.counts(("pending", "retrying"))
        return {**counts, "dead": self.dead_letters.total()}
