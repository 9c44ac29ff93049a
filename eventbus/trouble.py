"""A trouble: why the bus cannot do all of its work now, for health checks and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Part = Literal["storage", "damage", "writer", "loop", "dispatcher"]
"""What is in trouble: writing and reading the log, its file, a thread, the delivering."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason; ``detail`` is a sentence for people. It ends by itself or says what to do."""

    part: Part
    detail: str
    since: datetime

    @classmethod
    def now(cls, part: Part, detail: str) -> Trouble:
        """A trouble that begins."""
        return cls(part, detail, datetime.now(UTC))
