"""A channel: where notifications go, about which alerts and which of their changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast
from urllib.parse import urlsplit

from handlers.alert.changes import CHANGES, ChangeKind
from handlers.alert.lifecycle import RANKS, Severity
from handlers.errors import ChannelError

W = TypeVar("W", bound=str)

Kind = Literal["webhook", "slack", "email"]
KINDS: tuple[Kind, ...] = ("webhook", "slack", "email")
SEVERITIES = cast("tuple[Severity, ...]", tuple(RANKS))
DEFAULT_SEVERITIES: frozenset[Severity] = frozenset({"critical", "warning"})
DEFAULT_CHANGES: frozenset[ChangeKind] = frozenset(
    {"raised", "regressed", "worsened", "reopened", "resolved"}
)
SUBSCRIPTION_PREFIX = "notify-"
MOST_CHANNELS = 20
_MOST_RECIPIENTS = 20
_MAX_URL_CHARS = 2_000

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_CHANNEL = re.compile(
    r"(?P<name>\S+)\s+(?P<kind>\S+)\s+(?P<target>.+?)"
    r"(?:\s+for\s+(?P<severities>[a-z,\s]+?))?(?:\s+on\s+(?P<changes>[a-z,\s]+?))?",
)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel; ``target`` is a URL, which may hold a token, or addresses with commas."""

    name: str
    kind: Kind
    target: str = field(repr=False)
    severities: frozenset[Severity] = DEFAULT_SEVERITIES
    changes: frozenset[ChangeKind] = DEFAULT_CHANGES

    @property
    def subscription(self) -> str:
        """The name of its durable subscription, and the subject of what it tells."""
        return SUBSCRIPTION_PREFIX + self.name

    @property
    def shown_target(self) -> str:
        """Where it goes, without what must stay secret: of a URL only the host."""
        if self.kind == "email":
            return self.target
        url = urlsplit(self.target)
        port = "" if url.port is None else f":{url.port}"
        return f"{url.scheme}://{url.hostname}{port}/…"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any message."""
        if self.kind == "email":
            return ()
        url = urlsplit(self.target)
        path = url.path.strip("/")
        parts = [self.target, path, url.query, url.password, *url.path.split("/")[-1:]]
        return tuple(part for part in parts if part and len(part) >= 6)

    @property
    def recipients(self) -> list[str]:
        """The addresses of an e-mail channel."""
        return [address.strip() for address in self.target.split(",")]

    def wants(self, change: object, severity: object) -> bool:
        """Whether a change of an alert of this severity goes here."""
        return change in self.changes and severity in self.severities


def parse_channels(text: str) -> tuple[Channel, ...]:
    """Channels like ``ops slack https://… for critical on raised, resolved``, by semicolons.

    Raises ChannelError, which never repeats a URL.
    """
    channels = tuple(_parse(part.strip()) for part in text.split(";") if part.strip())
    names = [channel.name for channel in channels]
    if len(set(names)) < len(names):
        raise ChannelError("two channels have the same name")
    if not 1 <= len(channels) <= MOST_CHANNELS:
        raise ChannelError(f"there must be 1 to {MOST_CHANNELS} channels, not {len(channels)}")
    return channels


def _parse(text: str) -> Channel:
    found = _CHANNEL.fullmatch(text)
    if found is None or not _NAME.fullmatch(found["name"]):
        raise ChannelError("a channel is a name (a-z, 0-9, -), a kind and a target")
    kind = next((kind for kind in KINDS if kind == found["kind"]), None)
    if kind is None:
        raise ChannelError(f"the kind must be one of {', '.join(KINDS)}")
    target = found["target"].strip()
    if kind == "email":
        _check_addresses(target)
    else:
        check_url(target)
    return Channel(
        found["name"],
        kind,
        target,
        _words(found["severities"], SEVERITIES, DEFAULT_SEVERITIES),
        _words(found["changes"], CHANGES, DEFAULT_CHANGES),
    )


def _words(text: str | None, allowed: tuple[W, ...], default: frozenset[W]) -> frozenset[W]:
    if text is None:
        return default
    words = [word.strip() for word in text.split(",")]
    chosen = frozenset(word for word in allowed if word in words)
    if len(chosen) != len(words):
        raise ChannelError(f"{text!r} must be some of {', '.join(allowed)}, each once")
    return chosen


def check_url(url: str) -> None:
    """Raises ChannelError for what is no http or https URL with a host."""
    problem = ChannelError("the target must be an http or https URL without a fragment")
    if len(url) > _MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise problem
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise problem from None
    if not is_right or parts.fragment:
        raise problem


def _check_addresses(text: str) -> None:
    addresses = [address.strip() for address in text.split(",")]
    if len(addresses) > _MOST_RECIPIENTS or not all(map(_ADDRESS.fullmatch, addresses)):
        raise ChannelError(f"the target must be 1 to {_MOST_RECIPIENTS} e-mail addresses")


def is_address(text: str) -> bool:
    """Whether ``text`` is one e-mail address."""
    return _ADDRESS.fullmatch(text) is not None
