"""Time travel through the built-in read models: what they were when the log ended earlier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from eventbus import EventBus, Pattern
from eventbus.log import EventLog
from eventbus.log.moments import Recorded, newest_upto, oldest_after, position_at
from eventbus.log.snapshots import Snapshots
from eventbus.replay import ReplayBus
from eventbus.timestamps import from_microseconds, to_microseconds
from eventbus.travel import Past, SnapshotKeeper, Travel
from eventbus.travel.keeper import COPY_EVERY, EVERY, SHARE
from handlers import counters
from handlers.alert import AlertHandler, Alerts
from handlers.evaluation import EvaluationHandler, Evaluations
from handlers.installation import SHOWN
from handlers.monitoring.table import history, metrics
from handlers.queue import QueueHandler, Queues
from handlers.settings import HandlerSettings
from handlers.storage import Files, StorageHandler
from handlers.subscriptions import ensure
from handlers.tables import metadata
from handlers.view.table import views

# Not the monitoring: no page shows metrics of the past, and it has the most events. Nor the saved
# views, which are of today.
KINDS = (EvaluationHandler, QueueHandler, StorageHandler, AlertHandler)
TABLES = [table for table in metadata.sorted_tables if table not in (history, metrics, views)]
_RATE_S = 10.0
PATTERNS = tuple(Pattern(kind.pattern) for kind in KINDS)


class PastHandlers:
    """The same questions as ``Handlers`` answers, about one moment of the past.

    ``at`` is that moment, aware, where only the clock tells what was then; None when unknown.
    """

    def __init__(self, past: Past, present: EventLog, at: datetime | None) -> None:
        log = cast(EventLog, past)  # of it they use ``reading``
        self._past = past
        self._present = present
        self._at = at
        self.position = past.position
        self.evaluations = Evaluations(log)
        self.queues = Queues(log)
        self.files = Files(log)
        self.alerts = Alerts(log)

    def counters(self) -> dict[str, int | None]:
        """As the header shows them; dead letters are None when it cannot be told how many."""
        with self._past.reading() as conn:
            values = counters.read(conn)
        dead = None
        if self._at is not None:
            dead = self._present.dead_letters.total_at(to_microseconds(self._at))
        return {**{name: values[stored] for name, stored in SHOWN.items()}, "dead_letters": dead}


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the log, in its order of recording; all times are aware, and of recording.

    ``at`` is what was asked for, or when the event at ``position`` was recorded; ``before`` and
    ``after`` are the positions one event away, None at the ends; ``first``, ``last`` and ``end``
    tell the whole log's span; ``rate`` is in events per second, of the ten seconds before.
    """

    position: int
    at: datetime | None
    recorded: datetime | None
    before: int | None
    after: int | None
    first: datetime | None
    last: datetime | None
    end: int
    rate: float


class Travels:
    """Time travel on a bus whose handlers are installed; ``start`` begins to make snapshots."""

    def __init__(
        self, bus: EventBus, settings: HandlerSettings | None = None, *, most_bytes: int,
        every: int = EVERY, copy_every: int = COPY_EVERY, share: float = SHARE,
    ) -> None:  # fmt: skip
        """``most_bytes`` is the room for snapshots, beside the database; 0 for none at all."""
        settings = settings or HandlerSettings()
        self._log = bus.log
        names = [kind.name for kind in KINDS]

        def install(replay: ReplayBus) -> list[str]:
            for kind in KINDS:  # the same surface, for handlers
                ensure(cast(EventBus, replay), kind, settings)
            return names

        ids = sorted((one.name, one.id) for one in bus.log.subscribers() if one.name in names)
        digest = _digest(f"{ids} {settings.max_retries}")
        self.snapshots = Snapshots(bus.log.path, TABLES, digest)
        self.travel = Travel(bus.log, self.snapshots, install, PATTERNS)
        self.keeper = SnapshotKeeper(
            bus.log, self.snapshots, install, TABLES, PATTERNS, most_bytes=most_bytes,
            every=every, copy_every=copy_every, share=share, meanwhile=self.travel.tidy,
        )  # fmt: skip
        self._most_bytes = most_bytes

    def start(self) -> None:
        """Raises NoThreadError."""
        if self._most_bytes:
            self.keeper.start()

    def close(self) -> None:
        self.keeper.close()
        self.travel.close()

    def place(self, position: int) -> Place:
        """Where ``position`` is in the log; beyond its end counts as the end."""
        with self._log.reading() as conn:
            return self._place(conn, min(position, self._log.last_sequence))

    def place_at(self, when: datetime) -> Place:
        """Where the log ended at a time (aware), by when events were recorded."""
        when_us = to_microseconds(when)
        with self._log.reading() as conn:
            return self._place(conn, position_at(conn, when_us), when)

    def _place(self, conn: Connection, position: int, when: datetime | None = None) -> Place:
        here = newest_upto(conn, position)
        at = _time(here) if when is None else when
        first, last = oldest_after(conn, 0), newest_upto(conn, self._log.last_sequence)
        before = None if here is None else newest_upto(conn, here.sequence - 1)
        after = oldest_after(conn, position)
        count = 0
        if at is not None:
            start = position_at(conn, to_microseconds(at) - int(_RATE_S * 1e6))
            count = max(0, position - start)
        return Place(
            position=position,
            at=at,
            recorded=_time(here),
            before=None if here is None else 0 if before is None else before.sequence,
            after=None if after is None else after.sequence,
            first=_time(first),
            last=_time(last),
            end=0 if last is None else last.sequence,
            rate=count / _RATE_S,
        )

    @contextmanager
    def at(self, position: int, moment: datetime | None = None) -> Iterator[PastHandlers]:
        """The read models when the log ended at ``position``, at that aware ``moment``.

        Raises TravelError.
        """
        with self.travel.at(position) as past:
            yield PastHandlers(past, self._log, moment)


def _time(event: Recorded | None) -> datetime | None:
    return None if event is None else from_microseconds(event.recorded_us)


def _digest(settled: str) -> str:
    """What snapshots depend on beside the log: other handlers would have made others."""
    digest = hashlib.sha256(settled.encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
