"""Shapes of answers about outgoing webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from app.api.answers.extended import extended
from handlers.webhook.webhook import Mode


class Webhook(TypedDict):
    """A webhook and how it does; of its URL only the host is told, and no secret."""

    name: str
    pattern: str
    url: str
    mode: Mode
    timeout_s: float
    max_attempts: int
    concurrency: int
    subscription: str
    previous_secret_until: datetime | None
    created_at: datetime
    created_by: str
    changed_at: datetime
    state: Literal["served", "paused", "unserved"]
    pause_reason: str | None
    lag: int
    retrying: int
    dead: int


WebhookWithSecret = extended(
    "WebhookWithSecret",
    "A webhook, and the secret to verify with, which is told this once.",
    Webhook,
    secret=str,
)


class Webhooks(TypedDict):
    """Every webhook."""

    webhooks: list[Webhook]


class WebhookTested(TypedDict):
    """What the endpoint answered to a test, and how fast."""

    answer: str
    duration_ms: float
