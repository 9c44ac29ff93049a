"""Which process this is, among those that share a log."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from eventbus import EventBus
from eventbus.serving import WORK


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """``number`` tells the processes of one machine apart, and is given again when one has ended.

    ``works``: it does now what one process at a time does, beside serving its subscriptions.
    """

    host: str
    pid: int
    number: int
    works: bool

    @property
    def place(self) -> dict[str, Any]:
        """What its events say of where it is."""
        return {"host": self.host, "pid": self.pid, "number": self.number}


def this_process(bus: EventBus) -> ServerProcess:
    """This one, as it is now."""
    own, shared = bus.log.path.stem, bus.log.shared_path.stem
    number = re.fullmatch(r"-([0-9]+)", own.removeprefix(shared))
    return ServerProcess(
        socket.gethostname(), os.getpid(), int(number[1]) if number else 1, bus.serving.does(WORK)
    )
