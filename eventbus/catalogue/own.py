"""The event types that the library itself publishes, about the bus and what people do with it."""

from __future__ import annotations

from collections.abc import Iterator

from eventbus.catalogue.declaration import Declaration
from eventbus.catalogue.fields import (
    BY,
    WHO,
    anything,
    declared,
    moment,
    number,
    record,
    text,
    whole,
)

OWNER = "Event Bus"

_KINDS = {
    "redrive": "dead letters were handed to their handlers again",
    "discard": "dead letters were given up for good",
    "replay": "recorded events were delivered to a handler again",
    "retry": "failures that need a person were tried once more",
    "dismissal": "failures were taken out of the inbox",
}
_STATES = {"finished": "It is done.", "stopped": "A person stopped it.", "failed": "It failed."}
_OPERATION = record(
    "operation by total",
    operation=whole("its number", 1), by=WHO, reason=text("why"),
    selection={"type": "object", "description": "what was chosen"},
    rate={"type": ["number", "null"], "description": "how many a second at most"},
    total=whole("how many it is about"), done=whole("how many were dealt with"),
    skipped=whole("how many had changed meanwhile"), stopped_by=text("who stopped it"),
    error=text("why it failed"),
)  # fmt: skip


def _operations() -> Iterator[Declaration]:
    for kind, what in _KINDS.items():
        example = {"operation": 7, "by": "ann", "reason": "fixed in 1.4", "total": 12}
        yield declared(
            f"bus.{kind}.started", f"A {kind} begins", f"A person asked that {what}.",
            _OPERATION, example, OWNER,
        )  # fmt: skip
        for state, how in _STATES.items():
            yield declared(
                f"bus.{kind}.{state}", f"A {kind} {state}",
                f"A person had asked that {what}. {how}", _OPERATION,
                {**example, "done": 12, "skipped": 0}, OWNER,
            )  # fmt: skip


def _pauses() -> Iterator[Declaration]:
    schema = record("name by", name={"type": "string", "minLength": 1,
                                     "description": "the subscription"},
                    by=WHO, reason=text("why"))  # fmt: skip
    for what, title in (("paused", "A handler is paused"), ("resumed", "A handler goes on")):
        yield declared(
            f"subscription.{what}", title,
            "What comes for it waits." if what == "paused" else "What waited is handled.",
            schema, {"name": "storage", "by": "ann", "reason": "the disk is swapped"}, OWNER,
        )  # fmt: skip


TYPES: tuple[Declaration, ...] = (
    *_operations(),
    *_pauses(),
    declared(
        "log.*", "A log record", "Of a program whose logging has the bus's handler.",
        record("", message=anything("in words"), level=anything("of the record"),
               logger=anything("who logged it")),
        {"message": "the disk is nearly full", "level": "warning", "logger": "worker"},
        "Logging",
    ),
    declared(
        "bus.retry.requested", "Retries were begun at once",
        "A person had deliveries that wait for their next attempt tried again now.",
        record("by deliveries total", by=WHO, total=whole("how many"),
               deliveries={"type": "array", "description": "the first of them",
                           "items": record("sequence subscription", sequence=whole("the event", 1),
                                           subscription=text("the handler"))}),
        {"by": "ann", "deliveries": [{"sequence": 4711, "subscription": "storage"}], "total": 1},
        OWNER,
    ),
    declared(
        "bus.schedule.cancelled", "A scheduled event was taken back",
        "It had not been recorded yet, and will not be.",
        record("id source type at", id=text("of the event"), source=text("of the event"),
               type=text("of the event"), at=moment("when it was due"), by=BY),
        {"id": "reminder-1", "source": "/billing", "type": "invoice.reminder",
         "at": "2026-12-24T18:00:00Z", "by": "publish page"},
        OWNER,
    ),
    declared(
        "bus.intake.rejected", "A message from the broker was no event",
        "It was acknowledged all the same, so that it holds up no others; its body is here.",
        record("origin reason", origin=text("the queue, or topic, partition and offset"),
               reason=text("what is wrong with it"),
               errors={"type": "array", "description": "the same by field"},
               content_type=text("as it came"),
               attributes={"type": "object", "description": "its CloudEvents attributes"},
               size_bytes=whole("of the body"), body_base64=text("the body, or its beginning"),
               is_cut_off={"type": "boolean", "description": "whether the body was longer"}),
        {"origin": "/rabbitmq/eventbus", "reason": "/type: must not be empty", "size_bytes": 2,
         "body_base64": "e30=", "is_cut_off": False},
        OWNER,
    ),
    declared(
        "bus.restored", "The log was restored", "The database was put in place from a backup.",
        record("backup events sequence", backup=text("the backup's file name"),
               events=whole("how many it has"), sequence=whole("its newest")),
        {"backup": "events-2026-11-24.db", "events": 120_000, "sequence": 120_431},
        OWNER,
    ),
    declared(
        "bus.moved", "The log was copied to this database",
        "Every row was compared with its source. Recorded by the first server that opens the copy.",
        record("source target sequence rows by", source=text("where it was"),
               target=text("where it is now"), sequence=whole("its newest event then"),
               rows=whole("of all tables"), by=BY),
        {"source": "sqlite:////srv/events.db", "target": "postgresql://bus@db/eventbus",
         "sequence": 120_431, "rows": 420_118, "by": "ops"},
        OWNER,
    ),
    declared(
        "bus.integrity.checked", "The database was checked",
        "After a process that did not end in good order, the next start looks at the file.",
        record("result kind", result=text("ok, contradictions, damaged or not finished"),
               kind=text("how thoroughly"), reason=text("why it was checked"),
               sequence=whole("the newest event then"), duration_s=number("how long it took"),
               problems={"type": "array", "description": "what is damaged"},
               findings={"type": "array", "description": "what contradicts itself"}),
        {"result": "ok", "kind": "quick", "reason": "the process before did not end in good order",
         "sequence": 120_431, "duration_s": 0.412, "problems": [], "findings": []},
        OWNER,
    ),
    declared(
        "bus.type.declared", "An event type was declared",
        "Somebody said by the API what events of a type are and what their payloads must be.",
        record("type by", type=text("the type, or a pattern of types"), by=WHO,
               title=text("in a few words"), description=text("at length"),
               owner=text("who answers for it"), since=text("the version that brought it"),
               deprecated=text("what to use instead"), mode=text("enforce, report or off"),
               schema={"type": "object", "description": "a JSON Schema of the payload"},
               example=anything("a payload")),
        {"type": "invoice.paid", "by": "ann", "title": "An invoice was paid"},
        OWNER,
    ),
    declared(
        "bus.type.withdrawn", "A declaration was taken back", "What the API had declared of a type "
        "holds no more.",
        record("type by", type=text("the type, or a pattern of types"), by=WHO),
        {"type": "invoice.paid", "by": "ann"},
        OWNER,
    ),
)  # fmt: skip
