"""Finding the event that an argument names: by its id, or by its place in the log."""

from __future__ import annotations

from typing import Any

from eventbus.command.errors import MissingError
from eventbus.command.server import Server, token

_MOST_DIGITS = 18


def find_event(server: Server, name: str, source: str | None = None) -> dict[str, Any]:
    """The event with the id ``name``, or with the sequence when that is a number (``#42``).

    Raises MissingError.
    """
    number = name.removeprefix("#")
    is_number = number.isdecimal() and number.isascii() and len(number) <= _MOST_DIGITS
    if not (name.startswith("#") and is_number):
        try:
            return server.get(f"/api/events/{token(name)}", source=source)
        except MissingError:
            if not is_number:
                raise
    place = int(number)
    if place:
        found = server.get("/api/events", after=place - 1, before=place + 1, limit=1)["events"]
        if found:
            event: dict[str, Any] = found[0]
            return event
    raise MissingError(404, f"there is no event #{number}, and none with the id {name!r}")
