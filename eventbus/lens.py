"""What a thread sees of recorded payloads: all of them, or what a lens leaves of them.

It is put before the thread's eyes where it is known for whom it reads, and holds for every event
and every delivery that is read for showing, so that nobody who shows one has to think of it (0047).
It belongs to the thread: no task, loop or other thread takes it over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from eventbus.errors import HiddenTextError
from eventbus.event import Event

Part = TypeVar("Part")


class Lens(Protocol):
    """Hides parts of the payloads of some types; any thread may ask it."""

    def hides(self, type: str) -> bool:
        """Whether anything is hidden of events of a type."""

    def text(self, type: str, data_json: str) -> str:
        """What is left of a payload, both as JSON text."""


class _Here(threading.local):
    lens: Lens | None = None


_here = _Here()


def lens() -> Lens | None:
    """What this thread looks through; None when it sees everything."""
    return _here.lens


def look_through(lens: Lens | None) -> None:
    """Have this thread look through ``lens`` from now on."""
    _here.lens = lens


@contextmanager
def looking_through(lens: Lens | None) -> Iterator[None]:
    """Have this thread look through ``lens`` for a while."""
    before, _here.lens = _here.lens, lens
    try:
        yield
    finally:
        _here.lens = before


def hides(type: str) -> bool:
    """Whether this thread is not to see all of events of a type."""
    found = _here.lens
    return found is not None and found.hides(type)


def text(type: str, data_json: str) -> str:
    """What this thread is to see of a payload, as JSON text; "" stays "" (it was removed)."""
    found = _here.lens
    return data_json if found is None or not data_json else found.text(type, data_json)


def shown(lens: Lens | None, event: Event) -> Event:
    """An event as it is through ``lens``; another object when anything is hidden."""
    if lens is None or event.is_stripped or not lens.hides(event.type):
        return event
    return event.evolve(data_json=lens.text(event.type, event.data_json))


def parts(lens: Lens, made: Iterable[Part]) -> Iterator[Part]:
    """What is made bit by bit, after the thread that began it may look through something else."""
    source = iter(made)
    try:
        while True:
            with looking_through(lens):
                try:
                    part = next(source)
                except StopIteration:
                    return
            yield part
    finally:
        if (close := getattr(made, "close", None)) is not None:
            close()


def check_search() -> None:
    """Raise HiddenTextError when looking for words would tell this thread what is hidden."""
    if _here.lens is not None:
        raise HiddenTextError(
            "searching text would tell whether a value is there that is hidden from you "
            "(EVENTBUS_MASK); search by type, subject, correlation and time"
        )
