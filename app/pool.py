"""The threads that serve requests: when the system gives no more of them, those there are go on."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)


class PatientPool(ThreadPoolExecutor):
    """A pool whose ``submit`` never fails for want of a thread: the work waits for one.

    The standard library's has queued the work when it finds that no thread can be started, and
    then raises; in gunicorn's worker that ends the process.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # type: ignore[misc]
        except RuntimeError as error:
            log.error("no further thread for requests: %s; they wait for those there are", error)
