"""The environment variables of login, limits and masks; part of those in app/config.py."""

from __future__ import annotations

from app.access.mask_rules import MaskRule
from app.access.rate import RequestRate
from app.variables import Variable, number, whole


def _role(text: str) -> str:
    if text not in ("operator", "admin"):
        raise ValueError(text)
    return text


ACCESS_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_SESSION_IDLE_S", "session_idle_s", number(60, 31_536_000),
        "seconds from 60 to 31536000",
        "After how long without a request or an open live page somebody is signed out.",
    ),
    Variable(
        "EVENTBUS_SESSION_MAX_S", "session_max_s", number(60, 31_536_000),
        "seconds from 60 to 31536000",
        "After how long somebody has to sign in again in any case.",
    ),
    Variable(
        "EVENTBUS_MAX_SOCKETS_PER_USER", "max_sockets_per_user", whole(1, 10_000),
        "a whole number from 1 to 10000",
        "How many WebSockets one user or one token may have open at the same time.",
    ),
    Variable(
        "EVENTBUS_RATE_LIMIT", "rate_limit", RequestRate.parse,
        "a number, a slash and a time with s, m or h, like `600/1m`",
        "How many requests one user, token, or address where nobody signs in, may make in that "
        "time.",
    ),
    Variable(
        "EVENTBUS_MASK", "mask", MaskRule.read_all,
        "rules like `vendor.*: /customer/email, /prompt; model.call.*: /messages`, separated by "
        "semicolons: a pattern of types, a colon, and JSON Pointers separated by commas, in which "
        "`*` is every member or element",
        "Which fields of payloads are hidden from who may not see them; see docs/access.md.",
    ),
    Variable(
        "EVENTBUS_MASK_BELOW", "mask_below", _role, "operator or admin",
        "The role from which on payloads are seen whole.",
    ),
)  # fmt: skip
