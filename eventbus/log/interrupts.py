"""Ctrl-C in the middle of a commit: held back until it is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let SIGINT wait until the block has ended.

    Python raises KeyboardInterrupt in the main thread between any two instructions, most likely
    right after the disk has answered: then nobody could tell whether the commit took place, and
    the other threads whose units it was making would wait for ever.
    """
    # The thread first: looking up the handler makes its repr, which costs as much as a commit.
    is_main = threading.get_ident() == threading.main_thread().ident
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    if not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])
