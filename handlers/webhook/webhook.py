"""A webhook: which events go to which URL, in which form, signed with which secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

SUBSCRIPTION_PREFIX = "webhook-"

Mode = Literal["structured", "binary"]
MODES: tuple[Mode, ...] = ("structured", "binary")


@dataclass(frozen=True, slots=True)
class Webhook:
    """As it is stored; times are aware. ``url`` may hold a token, so it is shown by its host.

    ``previous_secret`` signs as well until ``previous_until``, so that a receiver can change over.
    """

    name: str
    pattern: str
    url: str = field(repr=False)
    mode: Mode
    timeout_s: float
    max_attempts: int
    concurrency: int
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until: datetime | None
    created_at: datetime
    created_by: str
    changed_at: datetime

    @property
    def subscription(self) -> str:
        """The name of its durable subscription."""
        return SUBSCRIPTION_PREFIX + self.name

    @property
    def shown_url(self) -> str:
        """Where it goes, without what may be secret: path and query are left out."""
        url = urlsplit(self.url)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        return f"{url.scheme}://{host}{'' if url.port is None else f':{url.port}'}/…"

    def secrets_at(self, now: datetime) -> list[str]:
        """What to sign with: the secret, and the one before it while that holds."""
        if self.previous_secret is None or self.previous_until is None:
            return [self.secret]
        return [self.secret, self.previous_secret] if now < self.previous_until else [self.secret]
