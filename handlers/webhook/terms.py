"""What somebody asks of a webhook, read from JSON or a form: every wrong field is named."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventbus import Pattern
from eventbus.errors import EventValidationError, FieldError, PatternError
from eventbus.validation import shown
from handlers.errors import ChannelError
from handlers.notify.channels import check_url
from handlers.standard_webhooks import key_of
from handlers.webhook.webhook import MODES, Mode

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_MAX_ATTEMPTS = 20
DEFAULT_CONCURRENCY = 4
MAX_TIMEOUT_S, MAX_ATTEMPTS, MAX_CONCURRENCY = 60.0, 100, 16

FIELDS = (
    "name", "pattern", "url", "mode", "timeout_s", "max_attempts", "concurrency", "secret",
    "handshake",
)  # fmt: skip
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What can be chosen; None leaves it to the default, or as it was. Sizes as in Webhook.

    ``handshake`` has the endpoint asked first whether it wants our events.
    """

    name: str | None = None
    pattern: str | None = None
    url: str | None = field(default=None, repr=False)
    mode: Mode | None = None
    timeout_s: float | None = None
    max_attempts: int | None = None
    concurrency: int | None = None
    secret: str | None = field(default=None, repr=False)
    handshake: bool = False


def read_terms(body: Mapping[str, Any]) -> Terms:
    """A new webhook: name, pattern and URL are needed. Raises EventValidationError."""
    return _Reading(body, FIELDS).terms(("name", "pattern", "url"))


def read_changes(body: Mapping[str, Any]) -> Terms:
    """Changes of one; its name stays, and its secret is rotated. Raises EventValidationError."""
    return _Reading(body, tuple(f for f in FIELDS if f not in ("name", "secret"))).terms(())


class _Reading:
    def __init__(self, body: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        self._body = {name: value for name, value in body.items() if value not in (None, "")}
        self._errors: list[FieldError] = []
        for name in body:
            if name not in (*allowed, "by"):
                self._wrong(str(name)[:40], f"is not known; allowed are {', '.join(allowed)}")

    def terms(self, needed: tuple[str, ...]) -> Terms:
        for name in needed:
            if name not in self._body:
                self._wrong(name, "is required")
        terms = Terms(
            self._name(), self._pattern(), self._url(), self._mode(),
            self._number("timeout_s", 1.0, MAX_TIMEOUT_S),
            self._whole("max_attempts", MAX_ATTEMPTS), self._whole("concurrency", MAX_CONCURRENCY),
            self._secret(), self._handshake(),
        )  # fmt: skip
        if self._errors:
            raise EventValidationError(self._errors)
        return terms

    def _wrong(self, name: str, detail: str) -> None:
        self._errors.append(FieldError(f"/{name}", detail))

    def _name(self) -> str | None:
        name = self._body.get("name")
        if name is None or (isinstance(name, str) and _NAME.fullmatch(name)):
            return name
        self._wrong("name", f"must be 1 to 63 of a-z, 0-9 and -, not {shown(name)}")
        return None

    def _pattern(self) -> str | None:
        pattern = self._body.get("pattern")
        if pattern is None:
            return None
        try:
            return Pattern(pattern if isinstance(pattern, str) else "").text
        except PatternError as error:
            self._wrong("pattern", str(error))
            return None

    def _url(self) -> str | None:
        url = self._body.get("url")
        if url is None:
            return None
        try:
            check_url(url if isinstance(url, str) else "")
        except ChannelError as error:
            self._wrong("url", str(error).removeprefix("the target "))
            return None
        return str(url)

    def _mode(self) -> Mode | None:
        mode = self._body.get("mode")
        if mode is None or mode in MODES:
            return mode
        self._wrong("mode", f"must be {' or '.join(MODES)}, not {shown(mode)}")
        return None

    def _number(self, name: str, low: float, high: float) -> float | None:
        value = self._body.get(name)
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high:
            self._wrong(name, f"must be a number from {low:g} to {high:g}, not {shown(value)}")
            return None
        return number

    def _whole(self, name: str, high: int) -> int | None:
        number = self._number(name, 1, high)
        if number is not None and number != int(number):
            self._wrong(name, f"must be a whole number, not {shown(self._body[name])}")
            return None
        return None if number is None else int(number)

    def _handshake(self) -> bool:
        wanted = self._body.get("handshake", False)
        if not isinstance(wanted, bool):
            self._wrong("handshake", f"must be true or false, not {shown(wanted)}")
            return False
        return wanted

    def _secret(self) -> str | None:
        secret = self._body.get("secret")
        if secret is None:
            return None
        try:
            key_of(secret if isinstance(secret, str) else "")
        except ValueError as error:
            self._wrong("secret", str(error))
            return None
        return str(secret)
