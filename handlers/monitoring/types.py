"""The ``monitoring.*`` types that the handler beside this file reads."""

from __future__ import annotations

from typing import Any

from eventbus.catalogue.fields import Schema, anything, declared, name, number, record
from handlers.payload import MAX_IDENTIFIER_CHARS

OWNER = "Monitoring"
# What a double holds: a whole number in JSON may be larger.
_LARGEST = 1.7976931348623157e308


def _of(required: str, **more: Schema) -> Schema:
    metric = name("which metric", MAX_IDENTIFIER_CHARS)
    found = record(
        required,
        metric={**metric, "type": ["string", "integer", "null"]},
        name={"description": "the metric, when metric is not given"},
        unit=anything("its unit, which is shown"),
        eval_id=anything("the evaluation that it is measured of"),
        **more,
    )
    named: dict[str, Any] = {
        "required": ["name"], "properties": {"name": metric, "metric": {"type": "null"}}
    }  # fmt: skip
    given = {"required": ["metric"], "properties": {"metric": {"not": {"type": "null"}}}}
    return {**found, "anyOf": [given, named]}


TYPES = (
    declared(
        "monitoring.metric.recorded", "A metric is measured",
        "The value that it has now. A rule may raise an alert.",
        _of("value", value=number("its value", minimum=-_LARGEST, maximum=_LARGEST)),
        {"metric": "tokens_per_second", "value": 1240.5, "unit": "1/s"},
        OWNER,
    ),
    declared(
        "monitoring.metric.incremented", "A metric is counted up",
        "An amount that is added to it, or taken from it.",
        _of("", by=number("how much; 1 when it is not said", minimum=-_LARGEST, maximum=_LARGEST)),
        {"metric": "evaluations.started", "by": 1},
        OWNER,
    ),
)  # fmt: skip
