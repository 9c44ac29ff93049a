"""Events in a file, a CloudEvent a line: written from a log, and published again from there."""

from __future__ import annotations

import os
from pathlib import Path

from eventbus.bus import EventBus
from eventbus.errors import EventValidationError, FieldError, JsonTextError
from eventbus.event import Event
from eventbus.json_reader import read_json
from eventbus.patterns import Pattern

_BATCH = 500


def record_ndjson(bus: EventBus, path: str | os.PathLike[str], pattern: str = "*") -> int:
    """Write what the bus has recorded so far and matches to a file; returns how many."""
    wanted = Pattern(pattern)
    count = position = 0
    end = bus.log.last_sequence
    with Path(path).open("w", encoding="utf-8") as file:
        while position < end:
            chunk = bus.log.read(position, _BATCH, wanted, upto=end)
            file.writelines(event.to_json() + "\n" for event in chunk.events)
            count += len(chunk.events)
            position = chunk.position
    return count


def replay_ndjson(
    bus: EventBus,
    path: str | os.PathLike[str],
    pattern: str = "*",
    *,
    only_first: bool = False,
) -> list[Event]:
    """Publish the events of a file that match, in its order, with their ids and times.

    The file is one of ``record_ndjson``, of ``GET /api/events`` line by line, or of any CloudEvents
    as JSON, one a line. With ``only_first`` those that other events caused are left out, so that
    the handlers make them anew. Returns the events as recorded; one whose source and id are in
    the log already is that one. Raises EventValidationError naming the line; then nothing of the
    file was published.
    """
    wanted = Pattern(pattern)
    events = [
        event for event in _read(Path(path))
        if wanted.matches(event.type) and not (only_first and event.causationid)
    ]  # fmt: skip
    recorded: list[Event] = []
    for start in range(0, len(events), _BATCH):
        recorded += bus.publish_many(events[start : start + _BATCH]).wait()
    return recorded


def _read(path: Path) -> list[Event]:
    errors: list[FieldError] = []
    events: list[Event] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                events.append(Event.from_dict(read_json(line)))
            except EventValidationError as error:
                errors += error.under(f"/line {number}").errors
            except JsonTextError as error:
                errors.append(FieldError(f"/line {number}", str(error)))
    if errors:
        raise EventValidationError(errors)
    return events
