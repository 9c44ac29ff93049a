"""Ctrl-C that waits for the end of what must not be left in the middle, or has it end itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block for a first Ctrl-C, at once for a second."""
    is_wanted = threading.Event()
    with at_first(is_wanted.set):
        yield
    if is_wanted.is_set():
        raise KeyboardInterrupt


@contextmanager
def at_first(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` for a first Ctrl-C within the block; raise KeyboardInterrupt for a second."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield  # ignored, or somebody else's
        return
    is_wanted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal is_wanted
        if is_wanted:
            raise KeyboardInterrupt
        is_wanted = True
        stop()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
