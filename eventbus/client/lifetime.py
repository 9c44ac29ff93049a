"""Clients end with their process: flushed at its exit, started afresh in a forked child."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import Protocol

EXIT_TIMEOUT_S = 2.0


class Mortal(Protocol):
    """A client as its process sees it."""

    def close_at_exit(self, timeout: float) -> None: ...

    def empty_after_fork(self) -> None: ...


_clients: weakref.WeakSet[Mortal] = weakref.WeakSet()
_is_hooked = False


def end_with_the_process(client: Mortal) -> None:
    """Have ``client`` flushed at exit and emptied in a forked child."""
    global _is_hooked
    _clients.add(client)
    if not _is_hooked:
        _is_hooked = True
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=_empty_all)


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    for client in list(_clients):
        client.close_at_exit(max(0.0, deadline - time.monotonic()))


def _empty_all() -> None:
    for client in list(_clients):
        client.empty_after_fork()
