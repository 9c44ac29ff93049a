"""The page of what will be tried again, and of what will not be any more: the dead letters."""

from __future__ import annotations

from flask import Blueprint, request

from app.pages.frame import render, with_query
from app.runtime import runtime

_MOST_RETRYING = 50
PAGE_SIZE = 50

blueprint = Blueprint("retries_page", __name__)


@blueprint.get("/retries")
def retries() -> str:
    """Evaluations and deliveries that wait for an attempt; one page of dead letters."""
    parts = runtime()
    log, evaluations = parts.bus.log, parts.handlers.evaluations
    cursor = request.args.get("cursor")
    dead = log.list_deliveries("dead", limit=PAGE_SIZE, cursor=cursor)
    retrying = log.list_deliveries("retrying", limit=_MOST_RETRYING)
    return render(
        "retries.html",
        "retries",
        evaluations=evaluations.retrying(_MOST_RETRYING),
        evaluation_count=evaluations.counts()["retrying"],
        deliveries=sorted(
            retrying.deliveries,
            key=lambda each: (each.next_attempt_at is None, each.next_attempt_at),
        ),
        counts=log.delivery_counts(),
        dead=dead.deliveries,
        next_href=with_query("/retries", cursor=dead.next) + "#dead" if dead.next else None,
        first_href="/retries#dead" if cursor else None,
    )
