"""What events mean: the built-in handlers, the read models they keep, and the clients for others.

handlers = install(bus)
handlers.evaluations.active(); handlers.alerts.open(); handlers.counters()
"""

from handlers.clients import MonitoringClient, StorageClient
from handlers.evaluation import EvaluationHandler
from handlers.installation import Handlers, install, replay
from handlers.page import Page
from handlers.rules import MetricRule
from handlers.settings import HandlerSettings
from handlers.stalled import StallDetector

__all__ = [
    "EvaluationHandler",
    "HandlerSettings",
    "Handlers",
    "MetricRule",
    "MonitoringClient",
    "Page",
    "StallDetector",
    "StorageClient",
    "install",
    "replay",
]
