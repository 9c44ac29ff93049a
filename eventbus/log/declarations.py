"""Declarations of event types that were made by the API: a few rows, changed with their event."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, select

from eventbus.catalogue.declaration import Declaration
from eventbus.errors import DeclarationError
from eventbus.event import Event
from eventbus.log import schema
from eventbus.log.unit import Unit
from eventbus.log.upsert import upsert
from eventbus.timestamps import from_microseconds, to_microseconds
from eventbus.validation import encode_json

if TYPE_CHECKING:
    from eventbus.log.eventlog import EventLog

logger = logging.getLogger("eventbus.log")

_declarations = schema.declarations
TOPIC = "declarations"
"""Told to other processes of the log when one has changed."""


class DeclarationStore:
    """Any thread may ask; what changes it blocks for a commit."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def all(self) -> list[Declaration]:
        """Every one, in no order; one that cannot be read any more is told and left out."""
        with self._log.reading() as conn:
            rows = conn.execute(select(_declarations)).all()
        found = []
        for row in rows:
            try:
                found.append(Declaration.read(
                    json.loads(row.declaration), type=row.type, place=row.declared_by,
                    at=from_microseconds(row.declared_us),
                ))  # fmt: skip
            except DeclarationError as error:
                logger.error("the declaration of %s cannot be read: %s", row.type, error)
        return found

    def save(self, declaration: Declaration, event: Event) -> None:
        """Keep it, in the place of one for the same type, and record the event that tells of it.

        Raises LogWriteError.
        """
        values = {
            "declaration": encode_json(declaration.to_dict()),
            "declared_us": to_microseconds(event.time),
            "declared_by": declaration.place,
        }
        statement = upsert(_declarations).values(type=declaration.type, **values)

        def save(conn: Connection) -> None:
            conn.execute(statement.on_conflict_do_update(index_elements=["type"], set_=values))

        self._log.commit(Unit([event], call=save, topic=TOPIC))

    def remove(self, type: str, event: Event) -> None:
        """Forget it, and record the event that tells of it. Raises LogWriteError."""

        def remove(conn: Connection) -> None:
            conn.execute(delete(_declarations).where(_declarations.c.type == type))

        self._log.commit(Unit([event], call=remove, topic=TOPIC))
