"""Times on the wire and in the log: RFC 3339 text in UTC, and microseconds since the Unix epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def format_time(value: datetime) -> str:
    """RFC 3339 text in UTC with microseconds: ``2026-11-24T09:30:00.123456Z``."""
    return value.isoformat(timespec="microseconds")[:26] + "Z"


def to_microseconds(value: datetime) -> int:
    """Microseconds since the Unix epoch; exact."""
    return (value - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The aware UTC datetime ``value`` microseconds after the Unix epoch; exact.

    Of what is beyond all dates, like a day after one at the end of the year 9999, the nearest.
    """
    try:
        return EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return (datetime.max if value > 0 else datetime.min).replace(tzinfo=UTC)


def parse_time(text: str) -> datetime:
    """An RFC 3339 §5.6 date-time as an aware datetime in UTC. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 date-time with a zone, like 2026-11-24T09:30:00Z")
    fraction = match["fraction"]
    if fraction is not None and len(fraction) > 7:  # datetime keeps microseconds, no finer
        text = text.replace(fraction, fraction[:7], 1)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a date that exists: {error}") from None
