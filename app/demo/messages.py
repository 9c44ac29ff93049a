"""What the simulated platform says: one event to be published, and the book it is entered in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Data = dict[str, Any]


class Message(NamedTuple):
    """One event of the platform: ``source`` is the part of it that speaks."""

    type: str
    data: Data
    source: str


@dataclass(slots=True)
class Books:
    """What the platform has said so far, counted by itself, to be compared with the server.

    ``types`` counts messages by type; ``started`` and ``completed`` count evaluations, ``failed``
    counts attempts that failed, ``exhausted`` evaluations that the server gave up. ``alerts`` has
    every pair of service and error type that must have raised an alert.
    """

    types: Counter[str] = field(default_factory=Counter)
    started: int = 0
    completed: int = 0
    failed: int = 0
    exhausted: int = 0
    alerts: set[tuple[str, str]] = field(default_factory=set)

    @property
    def said(self) -> int:
        """How many messages there were."""
        return self.types.total()

    def enter(self, message: Message) -> None:
        """Count a message."""
        type, data, _ = message
        self.types[type] += 1
        if type == "evaluation.started":
            self.started += data["retry_count"] == 0
        elif type == "evaluation.completed":
            self.completed += 1
        elif type == "evaluation.failed":
            self.failed += 1
            if data["error"]["severity"] == "critical":
                self.alerts.add(("evaluation", data["error"]["type"]))
        elif type.startswith("alert."):
            self.alerts.add((data["service"], data["error"]["type"]))
