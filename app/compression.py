"""Pages, styles and scripts go out compressed; what is streamed or small goes as it is."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict

from flask import Flask, Response, request

# application/json is left out: a stream of API calls on localhost would pay more than it gains.
_TYPES = frozenset(
    {"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"}
)
_LEAST_BYTES = 600  # about what fits into one packet beside the headers
_MOST_BYTES = 2 * 1024 * 1024
_PAGE_LEVEL = 5
_FILE_LEVEL = 9
_MOST_KEPT = 200


def register(app: Flask) -> None:
    """Compress the answers of ``app`` for clients that accept gzip (RFC 9110 §8.4.1.3)."""
    kept = _Kept()

    @app.after_request
    def compress(response: Response) -> Response:
        if response.mimetype not in _TYPES:
            return response
        response.vary.add("Accept-Encoding")
        is_file = response.direct_passthrough and request.endpoint == "static"
        if (
            response.status_code != 200
            or (response.is_streamed and not is_file)
            or not _LEAST_BYTES <= (response.content_length or 0) <= _MOST_BYTES
            or "Content-Encoding" in response.headers
            or not request.accept_encodings["gzip"]
        ):
            return response
        etag, _ = response.get_etag()
        packed = kept.get(etag) if is_file and etag else None
        if packed is None:
            response.direct_passthrough = False
            packed = gzip.compress(
                response.get_data(), _FILE_LEVEL if is_file else _PAGE_LEVEL, mtime=0
            )
            if is_file and etag:
                kept.put(etag, packed)
        else:
            response.close()  # the file that will not be read
            response.direct_passthrough = False
        response.set_data(packed)
        response.headers["Content-Encoding"] = "gzip"
        if etag:
            # The same in meaning, not byte by byte (RFC 9110 §8.8.1).
            response.set_etag(etag, weak=True)
        return response


class _Kept:
    """Compressed files by their entity tag, which changes with the file; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._packed: OrderedDict[str, bytes] = OrderedDict()

    def get(self, etag: str) -> bytes | None:
        with self._lock:
            return self._packed.get(etag)

    def put(self, etag: str, packed: bytes) -> None:
        with self._lock:
            self._packed[etag] = packed
            while len(self._packed) > _MOST_KEPT:
                self._packed.popitem(last=False)
