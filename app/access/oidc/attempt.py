"""An attempt to sign in by a provider: what ties its answer to the browser that began it.

All of it is in a cookie of that browser, so that nobody can fill the server's memory with
attempts, and a restart in the middle does not matter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

MAX_AGE_S = 600.0
_MOST_NEXT_CHARS = 1_500  # so that the cookie stays below 4096 bytes, also in base64
_ID_CHARS = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """``cookie`` is its text; ``next`` is where to go then; ``begun_s`` is since the epoch."""

    cookie: str
    next: str
    begun_s: float

    @classmethod
    def begin(cls, next: str) -> Attempt:
        """A new one, with 256 random bits."""
        wanted = next if len(next) <= _MOST_NEXT_CHARS else "/"
        now = int(time.time())
        path = base64.urlsafe_b64encode(wanted.encode()).decode()
        return cls(f"{secrets.token_urlsafe(32)}.{now}.{path}", wanted, float(now))

    @classmethod
    def of(cls, cookie: str | None, state: str) -> Attempt | None:
        """The one of a cookie; None when ``state`` is not of it, or it is too old."""
        try:
            secret, begun, path = (cookie or "").split(".")
            found = cls(cookie or "", base64.urlsafe_b64decode(path).decode(), float(int(begun)))
        except (ValueError, binascii.Error):
            return None
        is_same = hmac.compare_digest(found.state.encode(), state.encode("utf-8", "replace"))
        is_fresh = 0 <= time.time() - found.begun_s < MAX_AGE_S
        return found if is_same and is_fresh and len(secret) >= 43 else None

    @property
    def state(self) -> str:
        """What comes back with the answer (RFC 6749 §10.12)."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the ID token must have (OpenID Connect Core 1.0 §15.5.2)."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What the code can be used with (RFC 7636 §4.1): 43 characters."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """The verifier as ``S256`` (RFC 7636 §4.2)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        # One way: who sees one of them, as the provider does, cannot tell the others.
        return _text(hmac.digest(self.cookie.encode(), purpose.encode(), "sha256"))


def id_of(state: str) -> str:
    """What the cookie of an attempt is named after, since a browser may have several."""
    return "".join(char for char in state[:_ID_CHARS] if char.isascii() and char.isalnum())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
