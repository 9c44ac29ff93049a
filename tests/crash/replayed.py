"""Whether the counters equal a fresh replay; apart from the checker, as it needs the bus."""

from __future__ import annotations

import json

import handlers
from eventbus import EventBus
from eventbus.log import EventLog
from tests.crash.place import Place

RESULT = "differences.json"


def differences(place: Place) -> list[str]:
    """What the stored counters and a replay say differently."""
    with EventBus(EventLog(place.url, place.directory)) as bus:
        stored = handlers.install(bus).counters()
        fresh = handlers.replay(bus.log)
    return [
        f"counter {name}: stored {stored.get(name)}, replayed {fresh.get(name)}"
        for name in sorted({*stored, *fresh})
        if stored.get(name) != fresh.get(name)
    ]


def write_differences(place: Place) -> None:
    """For a process of its own: leave them in the place."""
    (place.directory / RESULT).write_text(json.dumps(differences(place)))
