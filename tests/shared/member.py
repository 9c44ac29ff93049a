"""A process that shares a log: ``python -m tests.shared.member URL FOLDER NAME``, told by lines.

It handles ``work.*`` as the subscription "worker" and notes for every effect which process it was;
it prints what it is asked for, a JSON text a line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from eventbus import Event, EventBus, RetryPolicy
from eventbus.log import EventLog

RETRY = RetryPolicy(max_attempts=3, base_delay_s=0.05, max_delay_s=0.1)


def main() -> None:
    url, folder, name = sys.argv[1:]
    bus = EventBus(EventLog(url, Path(folder)), source=f"/{name}", retry=RETRY)
    seen: list[int] = []
    bus.log.add_listener(lambda events: seen.extend(event.sequence or 0 for event in events))

    async def handle(event: Event) -> None:
        if event.get("fails"):
            raise ValueError("as it was told to")
        bus.effect(_note, (event.sequence, name))

    if not name.startswith("publisher"):
        bus.subscribe("work.*", handle, name="worker")
    _say("ready")
    for line in sys.stdin:
        command, _, given = line.strip().partition(" ")
        if command == "publish":
            count, subjects = map(int, given.split())
            for number in range(count):
                bus.publish("work.todo", {"n": number}, subject=f"{name}-{number % subjects}")
            _say(count)
        elif command == "flood":  # until the end, without a word but the number so far
            number = 0
            while True:
                bus.publish("work.todo", {"n": number}, subject=f"{name}-{number % 5}")
                number += 1
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()
        elif command == "seen":
            deadline = time.monotonic() + 10
            while (seen[-1] if seen else 0) < int(given) and time.monotonic() < deadline:
                time.sleep(0.01)
            _say(seen)
        elif command == "pause":
            _say(bus.pauses.pause("worker", by=name))
        elif command == "resume":
            _say(bus.pauses.resume("worker", by=name))
        elif command == "serves":
            _say(bus.serving.is_served("worker"))
        elif command == "close":
            bus.close()
            _say("closed")
            return


def _note(conn: Any, rows: list[tuple[int, str]]) -> None:
    conn.execute(
        text("INSERT INTO done (sequence, who) VALUES (:sequence, :who)"),
        [{"sequence": sequence, "who": who} for sequence, who in rows],
    )


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
