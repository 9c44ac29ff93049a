"""What the client of the bus says in its log, said on the error output of a command instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from eventbus.command.screen import Screen

_CLIENT = "eventbus.client"


class _Notes(logging.Handler):
    def __init__(self, screen: Screen, skip: str | None) -> None:
        super().__init__()
        self._screen = screen
        self._skip = skip

    def emit(self, record: logging.LogRecord) -> None:
        if self._skip is None or self._skip not in record.msg:
            self._screen.note(self._screen.paint_note(record.getMessage(), "yellow"))


@contextmanager
def client_notes(screen: Screen, skip: str | None = None) -> Iterator[None]:
    """Show its warnings, but for those with ``skip`` in them, and show them nowhere else."""
    log = logging.getLogger(_CLIENT)
    handler = _Notes(screen, skip)
    before = log.level, log.propagate
    log.setLevel(logging.WARNING)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before
