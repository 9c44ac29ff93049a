"""The ``storage.*`` types that the handler beside this file reads."""

from __future__ import annotations

from eventbus.catalogue.fields import Schema, anything, declared, name, record, whole
from handlers.payload import MAX_IDENTIFIER_CHARS

OWNER = "Storage"
_MOST = 2**53


def _file(**more: Schema) -> Schema:
    return record(
        "path",
        path=name("where it is", MAX_IDENTIFIER_CHARS),
        bytes=whole("its size", 0, _MOST),
        kind=anything("what it is: log, transcript, …"),
        eval_id=anything("the evaluation that it belongs to"),
        **more,
    )


TYPES = (
    declared(
        "storage.file.created", "A file is there", "It was written, or written anew.",
        _file(), {"path": "logs/eval-42.eval", "bytes": 482_113, "eval_id": "eval-42"}, OWNER,
    ),
    declared(
        "storage.file.deleted", "A file is gone", "It was removed.",
        _file(), {"path": "logs/eval-42.eval", "eval_id": "eval-42"}, OWNER,
    ),
    declared(
        "storage.result.stored", "A result is kept", "The result of an evaluation; the newest one "
        "holds.",
        record("eval_id", eval_id=name("which evaluation", MAX_IDENTIFIER_CHARS),
               result=anything("any JSON")),
        {"eval_id": "eval-42", "result": {"accuracy": 0.912}},
        OWNER,
    ),
)  # fmt: skip
