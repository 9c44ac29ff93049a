"""How many requests were answered, with which status, and how long the answers took."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from app.logs import REQUESTS
from eventbus.buckets import DURATIONS_US, Buckets, Counted

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LOGGED_CHARS = 500

log = logging.getLogger(REQUESTS)


class RequestCounts:
    """Request threads count; ``_lock`` guards both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], int] = {}
        self._took: dict[str, Buckets] = {}

    def count(self, method: str, status: str, took_us: int) -> None:
        """Add one; ``status`` is the three digits of the status line."""
        if method not in _METHODS:  # which a client may make up
            method = OTHER
        with self._lock:
            key = (method, status)
            self._answers[key] = self._answers.get(key, 0) + 1
            took = self._took.get(method)
            if took is None:
                took = self._took[method] = Buckets(DURATIONS_US)
            took.count(took_us)

    def answers(self) -> dict[tuple[str, ...], int]:
        """Counts by method and status."""
        with self._lock:
            return dict(self._answers)

    def took(self) -> dict[str, Counted]:
        """How long answers took until their first byte, by method."""
        with self._lock:
            return {method: buckets.counted() for method, buckets in self._took.items()}


def counting(
    application: WSGIApplication, counts: RequestCounts, is_logged: bool
) -> WSGIApplication:
    """The application, with its answers counted and, when wanted, logged.

    WebSockets are neither: the hub counts them, and their requests last as long as they do.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_UPGRADE" in environ:
            return application(environ, start_response)
        began = time.perf_counter()
        status = "500"

        def start(given: str, headers: Any, exc_info: Any = None) -> Callable[..., Any]:
            nonlocal status
            status = given[:3]
            return start_response(given, headers, exc_info)

        try:
            return application(environ, start)
        finally:
            took_s = time.perf_counter() - began
            counts.count(environ["REQUEST_METHOD"], status, int(took_s * 1e6))
            if is_logged:
                _log(environ, status, took_s)

    return serve


def _log(environ: WSGIEnvironment, status: str, took_s: float) -> None:
    """Not the query: people put into it what they look for, programs now and then a secret."""
    what = {
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace"),
        "status": int(status),
        "duration_ms": round(took_s * 1_000, 1),
        "client": environ.get("REMOTE_ADDR", ""),
    }
    what["path"] = what["path"][:_LOGGED_CHARS]
    log.info(
        "%s %s %s %.1f ms", what["method"], what["path"], status, what["duration_ms"], extra=what
    )
