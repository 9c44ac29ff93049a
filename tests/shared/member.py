"""A process that shares a log: ``python -m tests.shared.member URL FOLDER NAME``, told by lines.

It handles ``work.*`` as the subscription "worker", unless it is called a publisher or sharer, and
notes for every effect which process it was; it prints what it is asked for, a JSON text a line.
"parts N" has it handle ``part.0`` and so on as N subscriptions, "part-0" and so on.

An event's data say what handling it is like: ``fails`` (``true``, or the names of processes),
``slow_s`` (seconds by process), ``freezes`` (which stops once in the middle of the commit),
``kills`` (the process, after so many seconds), ``until`` (of ``part.*``: until that file is there).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from eventbus import Event, EventBus, RetryPolicy
from eventbus.errors import LogWriteError
from eventbus.log import EventLog, leases, postgresql

QUICK_VARIABLE = "EVENTBUS_TEST_FROZEN_S"  # after how long the server gives a frozen process up
KEEPALIVE_VARIABLE = "EVENTBUS_TEST_KEEPALIVE_S"  # how often it asks for a machine that is silent

RETRY = RetryPolicy(max_attempts=3, base_delay_s=0.05, max_delay_s=0.1)


def main() -> None:
    url, folder, name = sys.argv[1:]
    if QUICK_VARIABLE in os.environ:
        postgresql._STUCK_S = leases._FROZEN_S = float(os.environ[QUICK_VARIABLE])
    if KEEPALIVE_VARIABLE in os.environ:
        seconds = os.environ[KEEPALIVE_VARIABLE]
        postgresql._KEEPALIVE = "; ".join(
            [f"SET tcp_keepalives_{name} = {seconds}" for name in ("idle", "interval", "count")]
            + [f"SET tcp_user_timeout = '{seconds}s'"]
        )
    bus = EventBus(EventLog(url, Path(folder)), source=f"/{name}", retry=RETRY)
    seen: list[int] = []
    bus.log.add_listener(lambda events: seen.extend(event.sequence or 0 for event in events))

    runs: list[int] = []
    frozen: list[int] = []
    storm = Storm(bus, name)

    async def handle(event: Event) -> None:
        runs.append(event.sequence or 0)
        if slow_s := event.get("slow_s", {}).get(name, 0):
            await asyncio.sleep(slow_s)
        if "kills" in event:
            if event["kills"]:
                await asyncio.sleep(event["kills"])
            os.kill(os.getpid(), signal.SIGKILL)
        fails = event.get("fails", [])
        if fails is True or name in fails:
            raise ValueError("as it was told to")
        if event.get("freezes") == name:
            bus.publish("made.thing")
            bus.effect(freeze, event.sequence)
        bus.effect(_note, (event.sequence, name))

    def part(name_of_part: str) -> Callable[[Event], Awaitable[None]]:
        async def handle_part(event: Event) -> None:
            runs.append(event.sequence or 0)
            await asyncio.sleep(event.get("slow_s", 0))
            while event.get("until") and not Path(event["until"]).exists():
                await asyncio.sleep(0.02)
            if event.get("fails"):
                raise ValueError("as it was told to")
            bus.effect(_note_part, (name_of_part, event.subject, event.sequence, name))

        return handle_part

    def freeze(_conn: Any, sequences: list[int]) -> None:
        if not frozen:
            frozen.extend(sequences)
            os.kill(os.getpid(), signal.SIGSTOP)

    if not name.startswith(("publisher", "sharer")):
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
        elif command == "storm":
            storm.start()
            _say("begun")
        elif command == "calm":
            storm.is_over.set()
            storm.join()
            _say(storm.told())
        elif command == "told":
            _say(storm.told())
        elif command == "running":
            _say(len(bus.running()))
        elif command == "runs":
            _say(runs)
        elif command == "seen":
            deadline = time.monotonic() + 10
            while (seen[-1] if seen else 0) < int(given) and time.monotonic() < deadline:
                time.sleep(0.01)
            _say(seen)
        elif command == "pause":
            _say(bus.pauses.pause("worker", by=name))
        elif command == "resume":
            _say(bus.pauses.resume("worker", by=name))
        elif command == "parts":
            for number in range(int(given)):
                bus.subscribe(f"part.{number}", part(f"part-{number}"), name=f"part-{number}")
            _say(int(given))
        elif command == "serves":
            _say(bus.serving.is_served("worker"))
        elif command == "serving":
            _say(sorted(known for known in bus.served() if bus.serving.is_served(known)))
        elif command == "close":
            bus.close()
            _say("closed")
            return


class Storm(threading.Thread):
    """Publishes each event until it is acknowledged, until ``is_over``."""

    def __init__(self, bus: EventBus, name: str) -> None:
        super().__init__(daemon=True)
        self._bus = bus
        self._of = name
        self.is_over = threading.Event()
        self._acknowledged = self._refused = 0
        self._others: list[str] = []

    def run(self) -> None:
        while not self.is_over.wait(0.01):
            number = self._acknowledged
            try:
                self._bus.publish(
                    "work.todo", {"n": number}, id=f"{self._of}-{number}", subject=f"s{number % 5}"
                )
            except LogWriteError:
                self._refused += 1
            except Exception as error:
                self._others.append(repr(error))
            else:
                self._acknowledged += 1

    def told(self) -> dict[str, Any]:
        return {
            "acknowledged": self._acknowledged, "refused": self._refused, "others": self._others
        }  # fmt: skip


def _note(conn: Any, rows: list[tuple[int, str]]) -> None:
    conn.execute(
        text("INSERT INTO done (sequence, who) VALUES (:sequence, :who)"),
        [{"sequence": sequence, "who": who} for sequence, who in rows],
    )


def _note_part(conn: Any, rows: list[tuple[str, str, int, str]]) -> None:
    names = ("part", "subject", "sequence", "who")
    conn.execute(
        text("INSERT INTO steps (part, subject, sequence, who) VALUES (:part, :subject, "
             ":sequence, :who)"),
        [dict(zip(names, row, strict=True)) for row in rows],
    )  # fmt: skip


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
