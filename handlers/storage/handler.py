"""Keeps the files and the stored results: what ``storage.*`` events tell."""

from __future__ import annotations

from eventbus import Event, EventBus
from eventbus.timestamps import to_microseconds
from handlers import payload
from handlers.evaluation.table import StoredResult, store_results
from handlers.settings import HandlerSettings
from handlers.storage import table

FILE_CREATED = "storage.file.created"
FILE_DELETED = "storage.file.deleted"
RESULT_STORED = "storage.result.stored"


class StorageHandler:
    """Subscribed as "storage".

    The newest change of a file or a result holds, whatever order they come in; they are still
    handled one after the other by path, so that a screen never sees an older one.
    """

    name = "storage"
    pattern = "storage.*"

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self.settings = settings

    @staticmethod
    def key(event: Event) -> str:
        """The ordering key: the file, or the evaluation whose result it is."""
        return str(event.data.get("path", event.subject))

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for data without a path, or with an impossible size."""
        if event.type in (FILE_CREATED, FILE_DELETED):
            self._bus.effect(table.apply, _file_change(event))
        elif event.type == RESULT_STORED:
            result = StoredResult(
                payload.identifier_or_subject(event, "eval_id"),
                payload.to_json(event.data.get("result")),
                to_microseconds(event.time),
                event.sequence or 0,
            )
            self._bus.effect(store_results, result)

    def replaced(self) -> None:
        """Nothing of the rows is remembered."""


def _file_change(event: Event) -> table.FileChange:
    size_field = "bytes" if event.data.get("bytes") is not None else "size"
    return table.FileChange(
        path=payload.identifier(event, "path"),
        bytes=payload.count(event, size_field) or 0,
        kind=payload.label(event.data.get("kind"), 40),
        eval_id=payload.label(event.data.get("eval_id"), payload.MAX_IDENTIFIER_CHARS),
        created_at=to_microseconds(event.time),
        is_deleted=event.type == FILE_DELETED,
        sequence=event.sequence or 0,
    )
