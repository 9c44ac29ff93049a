"""Requests that were made from the document, broken at random places, as fast as they can be sent.

What the document's own generator makes costs some 30 ms each. A mutant costs the request alone, and
breaks what no generator would: bytes in the middle of JSON, of an escape, of a header's value.
"""

from __future__ import annotations

import random
import re
from urllib.parse import quote_from_bytes, urlsplit

import requests

_PIECES = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b'"', b"'", b"{", b"]",
    b"[" * 40, b"1e999", b"-0", b"9" * 25, b"0.1", b"null", b"true", b"NaN", b"../", b"%00",
    b"<script>", b",", b"\r\n", b"\xe2\x80\xae", b"*", b"#", b"a" * 300,
    b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"P1D", b";--", b"",
)  # fmt: skip
_HEADERS = (
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "application/cloudevents+json"),
    ("Content-Type", "application/cloudevents-batch+json"),
    ("Content-Type", "application/x-ndjson"),
    ("Content-Type", "text/plain"),
    ("Accept", "text/html;q=x"),
    ("Authorization", "Bearer "),
    ("ce-id", "%00"),
    ("ce-specversion", "9"),
    ("If-None-Match", '"'),
    ("traceparent", "00-0-0-00"),
    ("Cookie", "session=%ff; ="),
)
_TIMEOUT_S = 40.0
# A body beyond this is refused before it was read, and the connection closed.
_REFUSED_UNREAD = 16_384
# Of a path only what stands between slashes, else nearly all would be of no endpoint.
_SEGMENT = re.compile(r"[^/]+")


def mutants(
    given: requests.PreparedRequest, count: int, chance: random.Random
) -> list[requests.PreparedRequest]:
    """``count`` requests like ``given``, each with one to three faults."""
    made = []
    for _ in range(count):
        mutant = given.copy()
        for _ in range(chance.randint(1, 3)):
            _break(mutant, chance)
        made.append(mutant)
    return made


def fault_of(session: requests.Session, mutant: requests.PreparedRequest) -> tuple[int, str | None]:
    """Send it: the status, and what is wrong with the answer if anything is."""
    told = f"{mutant.method} {mutant.url} {mutant.headers} {(mutant.body or b'')[:500]!r}"
    try:
        response = session.send(mutant, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.ConnectionError as error:
        if len(mutant.body or b"") > _REFUSED_UNREAD:  # RFC 9112 §9.6: the 413 may be lost
            return 413, None
        return 0, f"{type(error).__name__}: {error}\n{told}"
    except requests.RequestException as error:
        return 0, f"{type(error).__name__}: {error}\n{told}"
    kind = response.headers.get("Content-Type", "")
    if response.status_code >= 500 and response.status_code != 503:
        return response.status_code, f"{response.status_code} {response.content[:500]!r}\n{told}"
    is_refused = response.status_code >= 400 and "/api/" in (mutant.url or "")
    if is_refused and not kind.startswith("application/problem+json"):
        return response.status_code, f"{response.status_code} as {kind!r}\n{told}"
    return response.status_code, None


def _break(mutant: requests.PreparedRequest, chance: random.Random) -> None:
    where = chance.random()
    if where < 0.55 and mutant.body:
        body = mutant.body if isinstance(mutant.body, bytes) else mutant.body.encode()
        mutant.body = _mutated(body, chance)
        mutant.headers["Content-Length"] = str(len(mutant.body))
    elif where < 0.85:
        parts = urlsplit(mutant.url or "")
        query = _quoted(_mutated(parts.query.encode(), chance), "=&%")
        path = parts.path
        segments = list(_SEGMENT.finditer(path))
        if len(segments) > 2 and chance.random() < 0.3:  # not "api" and what follows it
            hit = chance.choice(segments[2:])
            inner = _quoted(_mutated(hit[0].encode(), chance), "%")
            path = f"{path[: hit.start()]}{inner}{path[hit.end() :]}"
            query = parts.query
        mutant.url = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else "")
    else:
        name, value = chance.choice(_HEADERS)
        mutant.headers[name] = value


def _mutated(text: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(text))
    end = min(len(text), at + chance.choice((0, 0, 1, 1, 2, 8)))
    return text[:at] + chance.choice(_PIECES) + text[end:]


def _quoted(text: bytes, safe: str) -> str:
    """As a client would send it: what no line of HTTP may have is escaped."""
    return quote_from_bytes(text, safe=safe + "~!$'()*+,;:@/?")
