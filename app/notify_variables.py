"""The environment variables of outgoing notifications; part of those in app/config.py."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.variables import Variable, number, whole
from handlers.notify import MailServer, RateLimit, parse_channels
from handlers.notify.channels import check_url, is_address


def _address(text: str) -> str:
    if not is_address(text):
        raise ValueError(text)
    return text


def _public_url(text: str) -> str:
    check_url(text)
    if urlsplit(text).query or urlsplit(text).username is not None:
        raise ValueError(text)
    return text.rstrip("/")


NOTIFY_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_NOTIFY", "channels", parse_channels,
        "channels separated by semicolons, each a name, a kind (`webhook`, `slack` or `email`) and "
        "a URL or e-mail addresses, like `ops slack https://hooks.slack.com/services/... for "
        "critical on raised, regressed, resolved`; severities and changes may be left out",
        "Where changes of alerts are told; see docs/alerts.md.", is_secret=True,
    ),
    Variable(
        "EVENTBUS_SMTP_URL", "mail_server", MailServer.parse,
        "`smtp://user:password@host:587` (STARTTLS), `smtps://` (TLS from the start) or "
        "`smtp+insecure://` (no encryption)",
        "The server that e-mail is sent by.", is_secret=True,
    ),
    Variable(
        "EVENTBUS_MAIL_FROM", "mail_from", _address, "an e-mail address",
        "Who e-mail is from.",
    ),
    Variable(
        "EVENTBUS_NOTIFY_LIMIT", "notify_limit", RateLimit.parse,
        "a number from 1 to 1000, a slash and a time with s, m or h up to 24h, like `20/10m`",
        "How many notifications a channel sends in that time; what is over is summed up in one.",
    ),
    Variable(
        "EVENTBUS_NOTIFY_ATTEMPTS", "notify_attempts", whole(1, 100),
        "a whole number from 1 to 100",
        "How often a notification is tried before it is a dead letter; 20 attempts take about an "
        "hour.",
    ),
    Variable(
        "EVENTBUS_NOTIFY_TIMEOUT_S", "notify_timeout_s", number(0.1, 300),
        "seconds from 0.1 to 300",
        "How long one attempt to send a notification may take.",
    ),
    Variable(
        "EVENTBUS_PUBLIC_URL", "public_url", _public_url,
        "an http or https URL without a query",
        "The address that people use: what links in notifications and the way back from single "
        "sign-on begin with, and whose host outgoing webhooks are sent as; without it, the address "
        "that is listened on.",
    ),
)  # fmt: skip
