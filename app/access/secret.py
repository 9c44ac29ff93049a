"""Secrets that are as good as a password: random, recognisable, and kept as a digest alone."""

from __future__ import annotations

import hashlib
import re
import secrets

TOKEN_PREFIX = "evb_"
"""So that scanners of repositories and logs, and people, see what it is."""
LOCAL_PREFIX = "evb_local_"

_SECRET_BYTES = 32
_TOKEN = re.compile(r"evb_(local_)?[A-Za-z0-9_-]{43}")


def new_secret(prefix: str = "") -> str:
    """256 random bits as text after ``prefix``."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> str:
    """What is stored of a secret, and looked up by.

    SHA-256 alone: 256 random bits cannot be guessed, so a slow hash would only cost time.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_token(text: str) -> bool:
    """Whether it has the form of a token."""
    return _TOKEN.fullmatch(text) is not None
