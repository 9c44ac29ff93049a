"""Queues: their tasks' lifecycle, the read model that the screens show, the handler."""

from handlers.queue.handler import QueueHandler
from handlers.queue.queues import Queue, Queues

__all__ = ["Queue", "QueueHandler", "Queues"]
