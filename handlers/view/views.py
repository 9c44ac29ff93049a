"""The read model of saved views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from eventbus.log import EventLog
from eventbus.timestamps import from_microseconds
from handlers.view.table import MOST_VIEWS, views


@dataclass(frozen=True, slots=True)
class View:
    """A name for a filter: the pattern ``type``, saved at an aware time by somebody."""

    name: str
    type: str
    by: str | None
    saved_at: datetime


class Views:
    """Questions about saved views; any thread may ask."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def all(self) -> Sequence[View]:
        """Every view, by name without regard to case."""
        found = self._fetch(select(views).limit(MOST_VIEWS))
        return sorted(found, key=lambda view: (view.name.casefold(), view.name))

    def get(self, name: str) -> View | None:
        """One view by its exact name."""
        found = self._fetch(select(views).where(views.c.name == name))  # primary key
        return found[0] if found else None

    def _fetch(self, query: Select[Any]) -> Sequence[View]:
        with self._log.reading() as conn:
            rows = conn.execute(query).all()
        return [View(row.name, row.type, row.by, from_microseconds(row.saved_at)) for row in rows]
