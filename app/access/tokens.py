"""Creating and revoking tokens, each in one commit with the event that tells of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from app.access import audit
from app.access.directory import Directory
from app.access.errors import AccessConflictError, AccessFieldError, UnknownError
from app.access.scopes import SCOPES, SCOPES_OF, Scope
from app.access.secret import TOKEN_PREFIX, digest, new_secret
from app.access.store import rows
from app.access.users import last_credential
from app.access.values import Token
from eventbus import Pattern
from eventbus.errors import PatternError
from eventbus.timestamps import format_time, from_microseconds
from eventbus.validation import shown

MOST_TOKENS = 10_000
MAX_NAME_CHARS = 80
MAX_DAYS = 3_650

# A pattern is checked where one publishes, so it can only bound those who do nothing else.
_WITH_PATTERN: frozenset[Scope] = frozenset({"publish", "read"})


def create(
    directory: Directory,
    name: object,
    scopes: object,
    by: str,
    *,
    pattern: object = None,
    days: object = None,
) -> tuple[Token, str]:
    """Make a token, which can be told only now: its value is not kept.

    ``scopes`` are names of scopes, or of a role for all that it has; ``pattern`` bounds the types
    that may be published with it; it ends after ``days``, None for never. Raises AccessFieldError,
    AccessConflictError, LogWriteError.
    """
    if (
        not isinstance(name, str)
        or not name.strip()
        or len(name) > MAX_NAME_CHARS
        or not name.isprintable()
    ):
        raise AccessFieldError(
            "name", f"must be 1 to {MAX_NAME_CHARS} printable characters, not {shown(name)}"
        )
    allowed = _scopes(scopes)
    given = pattern.text if isinstance(pattern, Pattern) else pattern
    bound = _pattern(given, allowed)
    now_us = int(time.time() * 1_000_000)
    expires_us = None if days is None else now_us + int(_days(days) * 86_400_000_000)
    secret = new_secret(TOKEN_PREFIX)
    token = Token(0, name.strip(), digest(secret), allowed, bound, str(by), now_us, expires_us)
    told = audit.event(
        audit.TOKEN_CREATED, token.name, by, token=token.name, scopes=sorted(allowed),
        pattern=bound,
        expires=None if expires_us is None else format_time(from_microseconds(expires_us)),
    )  # fmt: skip
    with directory.changing():
        if any(each.name == token.name for each in directory.tokens.values()):
            raise AccessConflictError(f"there is a token {token.name!r} already")
        if len(directory.tokens) >= MOST_TOKENS:
            raise AccessConflictError(f"there are {MOST_TOKENS} tokens, which is the most")
        ids: list[int] = []
        directory.commit(lambda conn: ids.append(rows.insert_token(conn, token)), [told])
        made = directory.tokens[token.digest] = replace(token, id=ids[-1])
        directory.changed()
    return made, secret


def revoke(directory: Directory, which: object, by: str, opens: bool = False) -> Token:
    """End a token, by its id or name; with ``opens`` also the last credential there is.

    Raises UnknownError, AccessConflictError, LogWriteError.
    """
    with directory.changing():
        token = named(directory, which)
        is_last = len(directory.users) + len(directory.tokens) == 1
        if is_last and not opens and directory.ways.client is None:
            raise last_credential()
        directory.commit(
            lambda conn: rows.delete_token(conn, token.id),
            [audit.event(audit.TOKEN_REVOKED, token.name, by, token=token.name)],
        )
        del directory.tokens[token.digest]
        directory.tokens_used.pop(token.id, None)
        directory.changed()
    return token


def named(directory: Directory, which: object) -> Token:
    """The token of that name or id. Raises UnknownError."""
    known = list(directory.tokens.values())
    for token in known:
        if token.name == which:
            return token
    for token in known:
        if str(token.id) == str(which):
            return token
    raise UnknownError(f"there is no token {shown(which)}")


def _scopes(given: object) -> frozenset[Scope]:
    texts = [given] if isinstance(given, str) else given
    found: set[Scope] = set()
    if isinstance(texts, Iterable):
        for text in texts:
            if isinstance(text, str) and text in SCOPES_OF:
                found |= SCOPES_OF[text]
            elif text in SCOPES:
                found.add(text)
            else:
                found.clear()
                break
    if not found:
        raise AccessFieldError(
            "scopes",
            f"must be some of {', '.join(SCOPES)}, or a role ({', '.join(SCOPES_OF)}), not "
            f"{shown(given)}",
        )
    return SCOPES_OF["admin"] if "admin" in found else frozenset(found)


def _pattern(given: object, scopes: frozenset[Scope]) -> str | None:
    if given is None or given == "":
        return None
    try:
        text = Pattern(given if isinstance(given, str) else "").text
    except PatternError as error:
        raise AccessFieldError("pattern", f"cannot be used: {error}") from None
    if "publish" not in scopes or not scopes <= _WITH_PATTERN:
        raise AccessFieldError(
            "pattern", "can only bound a token with the scope publish, or publish and read"
        )
    return text


def _days(given: object) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= MAX_DAYS:
        raise AccessFieldError(
            "days", f"must be a number above 0 and up to {MAX_DAYS}, not {shown(given)}"
        )
    return float(given)
