"""The ``dashboard.view.*`` types that the handler beside this file reads."""

from __future__ import annotations

from eventbus.catalogue.fields import BY, Schema, declared, record
from handlers.view.facts import DELETED, MAX_NAME_CHARS, RENAMED, SAVED

OWNER = "Dashboard"

_SEGMENT = r"([A-Za-z0-9_-]+|[*+#])"
_PATTERN = rf"^{_SEGMENT}(\.{_SEGMENT}){{0,15}}$"


def _name(description: str) -> Schema:
    return {
        "type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS,
        "pattern": r"^\S(.*\S)?$", "description": description,
    }  # fmt: skip


TYPES = (
    declared(
        SAVED, "A view is saved", "A filter has a name now, for everybody.",
        record("name type", name=_name("of the view"), by=BY,
               type={"type": "string", "maxLength": 255, "pattern": _PATTERN,
                     "description": "the pattern of event types"}),
        {"name": "failures", "type": "evaluation.failed", "by": "ann"}, OWNER,
    ),
    declared(
        RENAMED, "A view has another name", "Links by the old name lead nowhere.",
        record("name to", name=_name("before"), to=_name("after"), by=BY),
        {"name": "failures", "to": "what failed", "by": "ann"}, OWNER,
    ),
    declared(
        DELETED, "A view is gone", "Who looks at it keeps its filter.",
        record("name", name=_name("of the view"), by=BY),
        {"name": "failures", "by": "ann"}, OWNER,
    ),
)  # fmt: skip
