"""A consumer in a process of its own, to be killed: ``python -m tests.helpers.consumer_process``.

It serves ``name`` for ``pattern`` at ``url`` and prints the ``n`` of each event that it begins to
handle; an event with ``hang`` it never finishes, one with ``kill`` ends the process.
"""

from __future__ import annotations

import os
import sys
import time

from eventbus import Event, RemoteEventBus


def handle(event: Event) -> None:
    print(event["n"], flush=True)
    if event.get("kill"):
        os._exit(1)
    if event.get("hang"):
        time.sleep(3600)


def main(url: str, pattern: str, name: str) -> None:
    bus = RemoteEventBus(url)
    bus.subscribe(pattern, handle, name=name, max_attempts=2)
    print("ready", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
