"""Putting the built-in handlers on a bus, and folding a log through them once more."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from eventbus import EventBus
from eventbus.log import EventLog
from eventbus.replay import ReplayBus
from handlers import counters
from handlers.alert import AlertHandler, Alerts
from handlers.evaluation import Decisions, EvaluationHandler, Evaluations, Inbox
from handlers.monitoring import Metrics, MonitoringHandler
from handlers.mutes import MuteWatch
from handlers.queue import QueueHandler, Queues
from handlers.settings import HandlerSettings
from handlers.stalled import StallDetector
from handlers.storage import Files, StorageHandler
from handlers.subscriptions import ensure
from handlers.view import ViewHandler, Views

KINDS = (
    EvaluationHandler,
    QueueHandler,
    MonitoringHandler,
    StorageHandler,
    AlertHandler,
    ViewHandler,
)

# The names on the screen, by the names in the table. "failed" counts failures, "open alerts" those
# that ask for somebody: open and regressed; an acknowledged one has somebody.
SHOWN = {
    "active": "evaluation.active",
    "retrying": "evaluation.retrying",
    "completed": "evaluation.completed",
    "failed": "evaluation.failures",
    "exhausted": "evaluation.exhausted",
    "stalled": "evaluation.stalled",
    "cancelled": "evaluation.cancelled",
    "queue_depth": "queue.depth",
    "open_alerts": "alert.open",
}


class Handlers:
    """The read models of a bus on which the handlers are installed; any thread may ask them."""

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._log = bus.log
        self.evaluations = Evaluations(bus.log)
        self.inbox = Inbox(bus.log)
        self.decisions = Decisions(bus, self.evaluations, self.inbox)
        self.queues = Queues(bus.log)
        self.metrics = Metrics(bus.log)
        self.files = Files(bus.log)
        self.alerts = Alerts(bus.log)
        self.views = Views(bus.log)
        self.stall_detector = StallDetector(bus, self.evaluations, settings)
        self.mute_watch = MuteWatch(bus, self.alerts)

    def counters(self) -> dict[str, int]:
        """The counters of the screen's header, by name; a dozen rows are read."""
        with self._log.reading() as conn:
            values = counters.read(conn)
        shown = {name: values[stored] for name, stored in SHOWN.items()}
        return {**shown, "dead_letters": self._log.dead_letters.total()}

    def check(self, now: datetime) -> None:
        """What time alone brings about: stalls and ends of mutes; to be called every few seconds.

        ``now`` is aware. Raises LogWriteError.
        """
        self.stall_detector.check(now)
        self.mute_watch.check(now)


def install(bus: EventBus, settings: HandlerSettings | None = None) -> Handlers:
    """Make the read models' tables and subscribe the handlers, under their names.

    They see what is published from their first installation on. Installing again changes the
    settings. Blocks for a few commits; raises SubscriptionError when a name is taken.
    """
    settings = settings or HandlerSettings()
    for kind in KINDS:
        ensure(bus, kind, settings)
    handlers = Handlers(bus, settings)
    if isinstance(bus, EventBus):  # a bus for replays has no operations
        handlers.decisions.start()
    return handlers


def replay(log: EventLog, settings: HandlerSettings | None = None) -> dict[str, int]:
    """The counters that the whole log gives when it is folded afresh, in a scratch database.

    Further events are not published again: the log holds them. Dead letters are the log's own.
    """
    with ReplayBus(log) as bus:
        handlers = install(cast(EventBus, bus), settings)  # the same surface, for handlers
        bus.run()
        return handlers.counters()
