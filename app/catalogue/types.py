"""The event types that the app itself publishes: what people have done by API, page or command."""

from __future__ import annotations

from app import vitals
from app.importing import IMPORTED
from app.rebuilds import FINISHED, STARTED, STOPPED
from app.retention import REMOVED, REQUESTED
from eventbus.catalogue.fields import BY, WHO, declared, number, record, text, whole

OWNER = "Event Bus"

_PROCESS = {
    "host": text("which machine"), "pid": whole("which process"),
    "number": whole("of the machine's processes, given again when one has ended"),
}  # fmt: skip
_PLACE = {"host": "app-1", "pid": 4711, "number": 1}
_TROUBLE = record("part", part=text("what is not well"), detail=text("in words"))

TYPES = (
    declared(
        vitals.STARTED, "The server has started", "And how the process before it ended.",
        record("", previous=text("stopped, crashed or restored"), **_PROCESS),
        {"previous": "stopped", **_PLACE}, OWNER,
    ),
    declared(
        vitals.STOPPED, "The server stops", "In good order: what was acknowledged is on disk.",
        record("", **_PROCESS), _PLACE, OWNER,
    ),
    declared(
        vitals.BEGAN, "The server is in trouble", "It says what, once for each trouble.",
        _TROUBLE, {"part": "disk", "detail": "the disk is full"}, OWNER,
    ),
    declared(
        vitals.ENDED, "A trouble has ended", "It did not come back for a while.",
        _TROUBLE, {"part": "disk", "detail": "the disk is full"}, OWNER,
    ),
    declared(
        STARTED, "The read models are rebuilt", "Somebody has them folded from the log once more.",
        record("by", by=WHO), {"by": "ann"}, OWNER,
    ),
    declared(
        FINISHED, "The read models were rebuilt", "What differed was put right.",
        record("by state", by=WHO, state=text("how it ended"), position=whole("up to where"),
               handled=whole("how many events"), differences={"description": "how many rows"},
               held_ms=number("for how long nobody could publish"), error=text("why it failed")),
        {"by": "ann", "state": "finished", "position": 120_431, "handled": 120_431,
         "differences": 0, "held_ms": 1.2, "error": None},
        OWNER,
    ),
    declared(
        STOPPED, "A rebuild is stopped", "Somebody has it end, or a check.",
        record("by", by=WHO, check={"type": "boolean", "description": "whether it is a check"}),
        {"by": "ann", "check": False}, OWNER,
    ),
    declared(
        REQUESTED, "Retention is to run now", "A person did not want to wait for its next turn.",
        record("by", by=WHO), {"by": "ann"}, OWNER,
    ),
    declared(
        REMOVED, "Retention has removed something", "By rule, and at most once an hour.",
        record("rules", rules={
            "type": "object", "description": "by rule",
            "additionalProperties": record("events payloads", events=whole("how many events"),
                                           payloads=whole("how many payloads"))}),
        {"rules": {"monitoring.* keep 7d": {"events": 5_000, "payloads": 0}}}, OWNER,
    ),
    declared(
        IMPORTED, "Events were imported", "Somebody published the lines of a file.",
        record("by name lines recorded", by=WHO, name=text("of the file"), lines=whole("in all"),
               recorded=whole("that were new"), duplicates=whole("that were there"),
               refused=whole("that were wrong"), first_sequence=whole("of the new ones", 1),
               last_sequence=whole("of the new ones", 1), error=text("why it ended early"),
               errors={"type": "array", "description": "what was wrong, the first of it"}),
        {"by": "ann", "name": "november.ndjson", "lines": 1_200, "recorded": 1_180,
         "duplicates": 20, "refused": 0, "first_sequence": 4_711, "last_sequence": 5_890,
         "error": None, "errors": []},
        OWNER,
    ),
    declared(
        "subscription.ended", "A subscription has ended",
        "What it had not finished was cancelled.",
        record("name", name=text("the subscription"), by=BY), {"name": "mailer", "by": "ann"},
        OWNER,
    ),
)  # fmt: skip
