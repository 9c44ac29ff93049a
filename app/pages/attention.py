"""What calls for a person, as every page says it: in the navigation, the title and the icon."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint

from app.runtime import runtime
from handlers import Handlers

MOST = 100
"""Beyond this many nobody needs to know how many; counting stays cheap."""

blueprint = Blueprint("attention", __name__)
log = logging.getLogger(__name__)


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


def attention_now() -> Attention | None:
    """As of now, for a page that tells of an error: it comes about whatever else cannot be read."""
    try:
        return attention(runtime().handlers)
    except Exception:
        log.warning("an error page has no counts", exc_info=True)
        return None


@blueprint.app_context_processor
def _for_errors() -> dict[str, Any]:
    return {"attention_now": attention_now}


@blueprint.get("/attention")
def now() -> dict[str, Any]:
    """What pages without a live connection ask now and then."""
    return asdict(attention(runtime().handlers))
