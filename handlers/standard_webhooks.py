"""Signatures of webhooks as https://www.standardwebhooks.com specifies them, version 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping

from handlers.errors import SignatureError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_S = 300
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
_BOUNDS = (24, 64)  # bytes of a secret, "Signature scheme"
_MOST_SIGNATURES = 20
_WHOLE = re.compile(r"[0-9]{1,15}")


def new_secret() -> str:
    """A random secret in the form in which people pass it on."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for. Raises ValueError, which does not repeat it."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {SECRET_PREFIX} and base64") from None
    low, high = _BOUNDS
    if not low <= len(key) <= high:
        raise ValueError(f"a secret must stand for {low} to {high} bytes, not {len(key)}")
    return key


def signed_headers(keys: Iterable[bytes], id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; one signature for each key, so that keys can be changed."""
    signatures = " ".join(_signature(key, id, str(timestamp_s), body) for key in keys)
    return {ID: id, TIMESTAMP: str(timestamp_s), SIGNATURE: signatures}


def verify(
    keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, now_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> None:  # fmt: skip
    """Raises SignatureError unless one signature is that of a key, and its time is now.

    ``headers`` are in lower case. All comparisons take the same time whatever is right.
    """
    id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    given = headers.get(SIGNATURE, "").split(" ")
    if not id or not timestamp or not given[0]:
        raise SignatureError(f"the headers {ID}, {TIMESTAMP} and {SIGNATURE} are needed")
    check_time(timestamp, now_s, tolerance_s)
    expected = [_signature(key, id, timestamp, body) for key in keys]
    if not is_any_equal(expected, given[:_MOST_SIGNATURES]):
        raise SignatureError("no signature is right")


def check_time(timestamp: str, now_s: float, tolerance_s: float) -> None:
    """Raises SignatureError for a time (Unix seconds) too far from now: it may be a replay."""
    if not _WHOLE.fullmatch(timestamp):
        raise SignatureError("the timestamp is no whole number of seconds")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise SignatureError(f"the timestamp {timestamp} is not within {tolerance_s:g} s of now")


def is_any_equal(expected: Iterable[str], given: Iterable[str]) -> bool:
    """Whether any of the one is any of the other; each pair is compared in constant time."""
    sent = [signature.encode() for signature in given]
    is_equal = False
    for signature in expected:
        for one in sent:
            is_equal |= hmac.compare_digest(signature.encode(), one)
    return is_equal


def _signature(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
