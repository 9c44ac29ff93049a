"""The environment variables of logs, tracing and warnings; part of those in app/config.py."""

from __future__ import annotations

from app.proxies import parse_networks
from app.variables import Variable, number, whole, yes_or_no


def _format(text: str) -> str:
    if text.lower() not in ("text", "json"):
        raise ValueError(text)
    return text.lower()


OBSERVE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_LOG_FORMAT", "log_format", _format, "text or json",
        "How the server's log looks: lines for people, or one JSON object a line.",
    ),
    Variable(
        "EVENTBUS_LOG_REQUESTS", "log_requests", yes_or_no, "yes or no",
        "Log every request with its status and duration, without its query and body.",
    ),
    Variable(
        "EVENTBUS_LOG_PAYLOADS", "log_payloads", yes_or_no, "yes or no",
        "Log the payload of an event whose handler failed, its first 2000 characters.",
    ),
    Variable(
        "EVENTBUS_TRACING", "tracing", yes_or_no, "yes or no",
        "Send spans by OpenTelemetry, which the `OTEL_*` variables configure; needs the extra "
        "`otel`. See docs/observability.md.",
    ),
    Variable(
        "EVENTBUS_TRUSTED_PROXIES", "trusted_proxies", parse_networks,
        "IP addresses and networks separated by commas, like `127.0.0.1, 10.0.0.0/8`",
        "The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
    ),
    Variable(
        "EVENTBUS_WARN_DISK_BYTES", "warn_disk_bytes", whole(0, 10**17),
        "a whole number; 0 for never",
        "With less room than this on the database's disk there is a warning.",
    ),
    Variable(
        "EVENTBUS_WARN_LAG_S", "warn_lag_s", number(0, 31_536_000),
        "seconds from 0 to 31536000; 0 for never",
        "A subscription whose oldest unfinished event is older than this is called far behind.",
    ),
    Variable(
        "EVENTBUS_WARN_DEAD_LETTERS", "warn_dead_letters", whole(0, 1_000_000_000),
        "a whole number to 1000000000; 0 for never",
        "So many new dead letters within a minute are a warning.",
    ),
)  # fmt: skip
