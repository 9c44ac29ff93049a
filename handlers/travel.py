"""Time travel through the built-in read models: what they were when the log ended earlier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from eventbus import EventBus, Pattern
from eventbus.log import EventLog
from eventbus.log.snapshots import Snapshots
from eventbus.replay import ReplayBus
from eventbus.travel import Past, SnapshotKeeper, Travel
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
PATTERNS = tuple(Pattern(kind.pattern) for kind in KINDS)


class PastHandlers:
    """The same questions as ``Handlers`` answers, about one moment of the past."""

    def __init__(self, past: Past) -> None:
        log = cast(EventLog, past)  # of it they use ``reading``
        self._past = past
        self.position = past.position
        self.evaluations = Evaluations(log)
        self.queues = Queues(log)
        self.files = Files(log)
        self.alerts = Alerts(log)

    def counters(self) -> dict[str, int | None]:
        """As the header shows them; dead letters are None: the log does not tell them."""
        with self._past.reading() as conn:
            values = counters.read(conn)
        return {**{name: values[stored] for name, stored in SHOWN.items()}, "dead_letters": None}


class Travels:
    """Time travel on a bus whose handlers are installed; ``start`` begins to make snapshots."""

    def __init__(
        self, bus: EventBus, settings: HandlerSettings | None = None, *, most_bytes: int,
        every: int | None = None, copy_every: int | None = None,
    ) -> None:  # fmt: skip
        """``most_bytes`` is the room for snapshots, beside the database; 0 for none at all."""
        settings = settings or HandlerSettings()
        names = [kind.name for kind in KINDS]

        def install(replay: ReplayBus) -> list[str]:
            for kind in KINDS:  # the same surface, for handlers
                ensure(cast(EventBus, replay), kind, settings)
            return names

        ids = sorted((one.name, one.id) for one in bus.log.subscribers() if one.name in names)
        digest = _digest(f"{ids} {settings.max_retries}")
        self.snapshots = Snapshots(bus.log.path, TABLES, digest)
        given = {"every": every, "copy_every": copy_every}
        self.keeper = SnapshotKeeper(
            bus.log, self.snapshots, install, TABLES, PATTERNS, most_bytes=most_bytes,
            **{name: value for name, value in given.items() if value is not None},
        )  # fmt: skip
        self.travel = Travel(bus.log, self.snapshots, install, PATTERNS)
        self._most_bytes = most_bytes

    def start(self) -> None:
        """Raises NoThreadError."""
        if self._most_bytes:
            self.keeper.start()

    def close(self) -> None:
        self.keeper.close()
        self.travel.close()

    @contextmanager
    def at(self, position: int) -> Iterator[PastHandlers]:
        """The read models when the log ended at ``position``. Raises TravelError."""
        with self.travel.at(position) as past:
            yield PastHandlers(past)


def _digest(settled: str) -> str:
    """What snapshots depend on beside the log: other handlers would have made others."""
    digest = hashlib.sha256(settled.encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
