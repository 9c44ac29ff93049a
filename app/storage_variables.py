"""The environment variables of how much is kept; part of those in app/config.py."""

from __future__ import annotations

from app.variables import Variable, whole
from eventbus.retention import RetentionRule, RetentionRules


def _retention(text: str) -> tuple[RetentionRule, ...]:
    return RetentionRules.parse(text).rules


def _limit(text: str) -> int:
    return 0 if text == "0" else whole(1_048_576, 10**17)(text)


STORAGE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_RETENTION", "retention", _retention,
        "rules like `monitoring.* keep 7d payload 1d; # keep 90d`, separated by semicolons: a "
        "pattern, how long events stay, how long their payloads; an age is a number with m, h, d, "
        "w or y from 10m to 100y, or `forever`",
        "What is removed when it is old; the first rule whose pattern matches holds. Without a "
        "rule everything stays.",
    ),
    Variable(
        "EVENTBUS_MAX_DATABASE_BYTES", "max_database_bytes", _limit,
        "0 for no limit, or a whole number from 1048576",
        "When the database is larger, the oldest events are removed.",
    ),
    Variable(
        "EVENTBUS_TRAVEL_MAX_BYTES", "travel_max_bytes", _limit, "0 or a whole number from 1048576",
        "The room that snapshots for time travel may take beside the database; 0 for none.",
    ),
)  # fmt: skip
