"""A trouble: why the bus cannot do all of its work now, for health checks and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

Part = Literal[
    "storage", "damage", "writer", "loop", "dispatcher", "disk", "lag", "dead_letters", "broker"
]  # fmt: skip
"""What is in trouble: writing and reading the log, its file, a thread, the delivering; and what
is about to be: the room on the disk, a subscription that is far behind, handlers that give up;
and the message broker beside the bus."""
PARTS: tuple[Part, ...] = get_args(Part)

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason; ``detail`` is a sentence for people. It ends by itself or says what to do.

    With a ``warning`` the bus still does its work. ``subject`` tells apart those of one part.
    """

    part: Part
    detail: str
    since: datetime
    severity: Severity = "critical"
    subject: str | None = None

    @classmethod
    def now(cls, part: Part, detail: str) -> Trouble:
        """A trouble that begins."""
        return cls(part, detail, datetime.now(UTC))
