"""What was published and not waited for is recorded when its process ends, closed bus or not."""

from __future__ import annotations

import atexit
import logging
import time
import weakref
from typing import Protocol

logger = logging.getLogger("eventbus.log")

EXIT_TIMEOUT_S = 2.0


class Flushable(Protocol):
    """A queue of what is to be committed."""

    def flush(self, timeout_s: float) -> None: ...


_queues: weakref.WeakSet[Flushable] = weakref.WeakSet()
_is_hooked = False


def flush_at_exit(queue: Flushable) -> None:
    """Have what is in ``queue`` then committed at the end of the process, within two seconds.

    The thread that does it for event loops does not live so long.
    """
    global _is_hooked
    _queues.add(queue)
    if not _is_hooked:
        _is_hooked = True
        atexit.register(_flush_all)


def _flush_all() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    for queue in list(_queues):
        try:
            queue.flush(max(0.0, deadline - time.monotonic()))
        except Exception as error:
            logger.error("what was published last may not be recorded: %s", error)
