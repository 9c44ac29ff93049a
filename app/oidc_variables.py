"""The environment variables of single sign-on; part of those in app/config.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.access.oidc.answers import is_safe
from app.access.oidc.client import RoleRule
from app.access.scopes import ROLES, Role
from app.variables import Variable, yes_or_no

if TYPE_CHECKING:
    from app.config import Settings

_MOST_RULES = 200
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # RFC 6749 §3.3


def _issuer(text: str) -> str:
    if not is_safe(text) or "?" in text:
        raise ValueError(text)
    return text


def _text(most: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > most or not text.isprintable():
            raise ValueError(text)
        return text

    return parse


def _words(text: str) -> tuple[str, ...]:
    words = tuple(text.replace(",", " ").split())
    if not words or not all(_SCOPE.fullmatch(word) for word in words):
        raise ValueError(text)
    return words


def _role(text: str) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise ValueError(text)


def _rules(text: str) -> tuple[RoleRule, ...]:
    """The last ``=`` divides: a distinguished name (``CN=ops,OU=groups``) has some of its own."""
    rules: list[RoleRule] = []
    for part in text.split(";"):
        value, _, role = (each.strip() for each in part.rpartition("="))
        if not value or not value.isprintable() or len(rules) >= _MOST_RULES:
            raise ValueError(text)
        rules.append(RoleRule(value, _role(role)))
    return tuple(rules)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # there, and made away with
        return False


def oidc_problems(settings: Settings) -> list[str]:
    """What is wrong with values that are right one by one."""
    if not settings.oidc_issuer:
        found = [] if settings.password_login else [
            "EVENTBUS_PASSWORD_LOGIN='no' is wrong while EVENTBUS_OIDC_ISSUER names no provider: "
            "nobody could sign in"
        ]  # fmt: skip
        if settings.oidc_client_id:
            found.append("EVENTBUS_OIDC_CLIENT_ID needs EVENTBUS_OIDC_ISSUER beside it")
        return found
    found = []
    if not _is_installed("joserfc"):
        found.append(
            "EVENTBUS_OIDC_ISSUER cannot be used: it needs a package that is not installed; "
            "install it with `pip install 'eventbus[oidc]'`"
        )
    if not settings.oidc_client_id:
        found.append("EVENTBUS_OIDC_ISSUER needs EVENTBUS_OIDC_CLIENT_ID beside it")
    if not settings.oidc_roles and settings.oidc_default_role is None:
        found.append(
            "EVENTBUS_OIDC_ISSUER lets nobody in without EVENTBUS_OIDC_ROLES or "
            "EVENTBUS_OIDC_DEFAULT_ROLE beside it, which say who has which role"
        )
    return found


OIDC_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_OIDC_ISSUER", "oidc_issuer", _issuer,
        "an https URL (http on this machine alone) as the provider writes it",
        "The OpenID provider that people sign in with; needs the extra `oidc`. See docs/access.md.",
    ),
    Variable(
        "EVENTBUS_OIDC_CLIENT_ID", "oidc_client_id", _text(500), "up to 500 printable characters",
        "What this server is called at the provider.",
    ),
    Variable(
        "EVENTBUS_OIDC_CLIENT_SECRET", "oidc_client_secret", _text(2_000),
        "up to 2000 printable characters",
        "What it proves itself with there; none for a public client.", is_hidden=True,
    ),
    Variable(
        "EVENTBUS_OIDC_NAME", "oidc_name", _text(60), "up to 60 printable characters",
        "What people call the provider: \"Sign in with …\".",
    ),
    Variable(
        "EVENTBUS_OIDC_SCOPES", "oidc_scopes", _words, "words separated by spaces or commas",
        "What is asked of the provider; `openid` is always.",
    ),
    Variable(
        "EVENTBUS_OIDC_NAME_CLAIM", "oidc_name_claim", _text(300),
        "a claim's name, or a JSON Pointer like `/account/login`",
        "The claim that has people's names.",
    ),
    Variable(
        "EVENTBUS_OIDC_ROLE_CLAIM", "oidc_role_claim", _text(300),
        "a claim's name, or a JSON Pointer like `/realm_access/roles`",
        "The claim that says who has which role: a text, a list of them, or an object.",
    ),
    Variable(
        "EVENTBUS_OIDC_ROLES", "oidc_roles", _rules,
        "rules like `platform-admins=admin; engineers=operator`, separated by semicolons: a value "
        "of the claim, `=`, and viewer, operator or admin",
        "Who has which role; the highest one holds, anew with each login.",
    ),
    Variable(
        "EVENTBUS_OIDC_DEFAULT_ROLE", "oidc_default_role", _role, "viewer, operator or admin",
        "The role of those for whom no rule holds; without one they do not come in.",
    ),
    Variable(
        "EVENTBUS_OIDC_AUDIENCES", "oidc_audiences", _words,
        "client ids separated by spaces or commas",
        "Others that an ID token may also be for.",
    ),
    Variable(
        "EVENTBUS_OIDC_SIGN_OUT", "oidc_sign_out", yes_or_no, "yes or no",
        "Whether signing out here goes on to the provider, to sign out there as well.",
    ),
    Variable(
        "EVENTBUS_PASSWORD_LOGIN", "password_login", yes_or_no, "yes or no",
        "Whether people may also sign in with a password; `no` needs `EVENTBUS_OIDC_ISSUER`.",
    ),
)  # fmt: skip
