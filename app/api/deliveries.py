"""Events at subscriptions, by the state they are in: above all retrying ones and dead letters."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.shapes import answer, page
from app.runtime import runtime

STATES = ("pending", "running", "retrying", "dead")

blueprint = Blueprint("deliveries", __name__)


@blueprint.get("/deliveries")
def deliveries() -> Response:
    """One page of deliveries in a state (dead when not said), newest first."""
    found = runtime().bus.log.list_deliveries(
        parameters.choice("state", STATES, default="dead"),
        parameters.limit(),
        cursor=parameters.text("cursor"),
    )
    return page("deliveries", found.deliveries, found.next)


@blueprint.get("/deliveries/counts")
def counts() -> Response:
    """How many deliveries are unfinished, by state."""
    return answer({"counts": runtime().bus.log.delivery_counts()})
