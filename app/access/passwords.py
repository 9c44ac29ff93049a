"""Passwords: which are good enough, how they are kept, and checking one in bounded memory."""

from __future__ import annotations

import threading
from functools import cache

from werkzeug.security import check_password_hash, generate_password_hash

from app.access.errors import AccessError

MIN_CHARS = 10
MAX_CHARS = 256

# OWASP's Password Storage Cheat Sheet, scrypt: N=2^15, r=8, p=3; 32 MiB and about 0.2 s each.
METHOD = "scrypt:32768:8:3"
_AT_ONCE = 2
_WAIT_S = 10.0

_room = threading.BoundedSemaphore(_AT_ONCE)  # a burst of logins must not take all memory


class BusyError(AccessError):
    """Too many passwords are being checked."""


def hashed(password: str) -> str:
    """The salted scrypt hash that is stored. Blocks for about 0.2 s. Raises BusyError."""
    with _Room():
        return generate_password_hash(password, METHOD)


def is_right(password: str, stored: str | None) -> bool:
    """Whether it is the password of a stored hash; as slow without one, when there is no such user,
    or one who signs in otherwise.

    Raises BusyError.
    """
    with _Room():
        is_same = check_password_hash(stored or _nobodys(), password)
    return is_same and bool(stored)


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than new ones are."""
    return not stored.startswith(METHOD + "$")


def problem(password: object, name: str = "") -> str | None:
    """What is wrong with a new password; None when it can be taken (NIST SP 800-63B §5.1.1.2)."""
    if not isinstance(password, str) or not MIN_CHARS <= len(password) <= MAX_CHARS:
        given = f", not {len(password)}" if isinstance(password, str) else ""
        return f"must have {MIN_CHARS} to {MAX_CHARS} characters{given}"
    if name and name.casefold() in password.casefold() and len(password) < 2 * len(name) + 6:
        return "must be more than the name"
    if len(set(password)) < 4:
        return "must have at least 4 different characters"
    return None


@cache
def _nobodys() -> str:
    return generate_password_hash("nobody has this one", METHOD)


class _Room:
    def __enter__(self) -> None:
        if not _room.acquire(timeout=_WAIT_S):
            raise BusyError("too many people sign in at this moment; try again")

    def __exit__(self, *_: object) -> None:
        _room.release()
