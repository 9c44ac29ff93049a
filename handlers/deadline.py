"""A bound for the whole of a conversation: socket time-outs alone bound only each step of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def deadline(timeout_s: float, sock: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Cut off the socket that ``sock`` gives when the block has run for ``timeout_s`` seconds.

    Raises TimeoutError for whatever error the cut then causes, and also when what was cut off
    looks whole: an answer may be taken for one that has ended.
    """
    is_over = threading.Event()

    def cut() -> None:
        is_over.set()
        if (found := sock()) is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_over.is_set():
            raise _too_late(timeout_s) from error
        raise
    finally:
        timer.cancel()
    if is_over.is_set():
        raise _too_late(timeout_s)


def _too_late(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"no answer within {timeout_s:g} s")
