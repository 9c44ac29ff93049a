"""All event types that the handlers know, for a catalogue."""

from __future__ import annotations

from eventbus.catalogue import Declaration
from handlers.alert.types import TYPES as ALERT
from handlers.evaluation.types import TYPES as EVALUATION
from handlers.monitoring.types import TYPES as MONITORING
from handlers.notify.types import TYPES as NOTIFY
from handlers.queue.types import TYPES as QUEUE
from handlers.storage.types import TYPES as STORAGE
from handlers.view.types import TYPES as VIEW
from handlers.webhook.types import TYPES as WEBHOOK

TYPES: tuple[Declaration, ...] = (
    *EVALUATION, *QUEUE, *MONITORING, *STORAGE, *ALERT, *NOTIFY, *VIEW, *WEBHOOK,
)  # fmt: skip
