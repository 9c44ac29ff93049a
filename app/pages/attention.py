"""What calls for a person, as every page says it: in the navigation, the title and the icon."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint

from app.runtime import runtime
from handlers import Handlers

MOST = 100
"""Beyond this many nobody needs to know how many; counting stays cheap."""

blueprint = Blueprint("attention", __name__)


@dataclass(frozen=True, slots=True)
class Attention:
    """``retries`` counts what is open in the inbox; ``critical`` at most ``MOST`` open alerts."""

    alerts: int
    retries: int
    critical: int


def attention(handlers: Handlers) -> Attention:
    """As of now."""
    counters = handlers.counters()
    return Attention(
        alerts=counters["open_alerts"],
        retries=handlers.inbox.open_count(MOST) + counters["dead_letters"],
        critical=handlers.alerts.critical_count(MOST),
    )


@blueprint.get("/attention")
def now() -> dict[str, Any]:
    """What pages without a live connection ask now and then."""
    return asdict(attention(runtime().handlers))
