"""What a body says about which deliveries or events are meant; every wrong member is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.api.common import (
    BY,
    DRY_RUN,
    ERROR_CLASS,
    MAX_REASON_CHARS,
    REASON,
    SINCE,
    SUBSCRIPTION,
    TYPE,
    UNTIL,
)
from app.openapi import kinds
from app.openapi.fields import Body, Field, wrong_body
from app.runtime import runtime
from eventbus.log import Replayed, Selection
from eventbus.validation import shown

__all__ = ["MAX_RATE", "MAX_REASON_CHARS"]

MAX_DELIVERIES = 1_000
MAX_BODY_BYTES = 512 * 1024
MAX_RATE = 100_000.0

_SEQUENCE = kinds.whole(1)
_KEY = kinds.members((
    Field("sequence", _SEQUENCE, "The event's position in the log.", is_needed=True, example=42),
    Field("subscription", kinds.text(), "Its subscription.", is_needed=True, example="storage"),
))  # fmt: skip
_DELIVERIES = Field(
    "deliveries", kinds.items(_KEY, "deliveries", MAX_DELIVERIES), "Single deliveries."
)


def _known(value: Any, pointer: str, errors: kinds.Errors) -> Any:
    """A subscription that there is or was: a name that is misspelt must not select nothing."""
    name = SUBSCRIPTION.kind.check(value, pointer, errors)
    if name is not None and not runtime().bus.log.delivery_lists.subscription_ids(name):
        detail = f"no durable subscription is named {shown(name)}"
        errors.append({"pointer": pointer, "detail": detail})
    return name


_SUBSCRIPTION = replace(SUBSCRIPTION, kind=replace(SUBSCRIPTION.kind, check=_known))
_FILTER = Field(
    "filter",
    kinds.members((TYPE, _SUBSCRIPTION, ERROR_CLASS, SINCE, UNTIL)),
    "All dead letters that fit; `{}` is all of them.",
)
_ONE_OF_BOTH = {"oneOf": [{"required": ["deliveries"]}, {"required": ["filter"]}]}
_SINGLE = {"deliveries": [{"sequence": 42, "subscription": "storage"}], "by": "ann"}
_COUNTED = {"filter": {"type": "storage.*", "error_class": "TimeoutError"}, "dry_run": True}

SELECTED = Body(
    (_DELIVERIES, _FILTER, DRY_RUN, BY, REASON),
    {"how many would it be": _COUNTED, "one": _SINGLE, "all": {"filter": {}, "by": "ann"}},
    MAX_BODY_BYTES, is_needed=True, rule=_ONE_OF_BOTH,
)  # fmt: skip
DISCARDED = Body(
    SELECTED.fields,
    {"how many would it be": _COUNTED, "one": {**_SINGLE, "reason": "a test that went wrong"}},
    MAX_BODY_BYTES, is_needed=True, rule=_ONE_OF_BOTH,
)  # fmt: skip
RETRIED = Body(
    (Field(_DELIVERIES.name, _DELIVERIES.kind, "Those that wait for a retry.", is_needed=True), BY),
    {"one": _SINGLE}, MAX_BODY_BYTES, is_needed=True,
)  # fmt: skip
REPLAYED = Body(
    (
        Field(
            "subscription", _SUBSCRIPTION.kind, "The one that gets them: a replay is to one.",
            is_needed=True, example="report-writer",
        ),
        TYPE,
        Field("first", _SEQUENCE, "Not before this sequence."),
        Field("last", _SEQUENCE, "Not after this sequence."),
        SINCE,
        UNTIL,
        Field("rate", kinds.number(0, MAX_RATE, "events a second"), "So many a second at most."),
        DRY_RUN, BY, REASON,
    ),
    {"a day again": {
        "subscription": "report-writer", "since": "2026-11-25T00:00:00Z",
        "until": "2026-11-26T00:00:00Z", "rate": 100, "by": "ann",
    }},
    is_needed=True,
)  # fmt: skip


def selection(body: dict[str, Any]) -> Selection:
    """The ``deliveries`` or the ``filter`` of a body that was read; one of them is needed."""
    named, conditions = body["deliveries"], body["filter"]
    if (named is None) == (conditions is None):
        detail = 'give either "deliveries" or "filter"; {} selects all dead letters'
        raise wrong_body([{"pointer": "/filter", "detail": detail}])
    if named is not None:
        return Selection(deliveries=keys(named))
    return Selection(
        conditions["type"], conditions["subscription"], conditions["error_class"],
        conditions["since"], conditions["until"],
    )  # fmt: skip


def keys(deliveries: list[dict[str, Any]]) -> tuple[tuple[int, str], ...]:
    """Single deliveries as sequence and subscription."""
    return tuple((each["sequence"], each["subscription"]) for each in deliveries)


def replayed(body: dict[str, Any]) -> Replayed:
    """The events that a body that was read wants replayed."""
    return Replayed(
        body["subscription"], body["type"], body["first"], body["last"], body["since"],
        body["until"],
    )  # fmt: skip


def needed_reason(body: dict[str, Any]) -> str:
    """The reason of what cannot be undone. Raises ProblemError."""
    if body["reason"] is None:
        detail = "is needed: say why nobody will miss these deliveries"
        raise wrong_body([{"pointer": "/reason", "detail": detail}])
    return str(body["reason"])
