"""Times and durations as people write and read them on a command line."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from eventbus.timestamps import format_time, parse_time

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d|w)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_MOST_S = 3_653 * 86_400.0  # ten years: what is longer is a mistake in a unit


def span_s(text: str) -> float:
    """Seconds of ``90``, ``1.5s``, ``15m``, ``2h``, ``7d`` or ``1w``.

    Raises ArgumentTypeError.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ArgumentTypeError(
            f"must be a duration such as 90, 30s, 15m, 2h, 7d or 1w, not {text!r}"
        )
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > _MOST_S:
        raise ArgumentTypeError(f"must be at most 3653d, not {text!r}")
    return seconds


def moment(text: str) -> str:
    """RFC 3339 text in UTC of a time: how long ago (``15m``, ``7d``), RFC 3339, or the local
    ``2026-11-24``, ``2026-11-24T08:00``, ``08:00`` (today). Raises ArgumentTypeError.
    """
    given = text.strip()
    if given == "now":
        return format_time(datetime.now(UTC))
    if _SPAN.fullmatch(given):
        return format_time(datetime.now(UTC) - timedelta(seconds=span_s(given)))
    try:
        return format_time(parse_time(given))
    except ValueError:
        pass
    try:
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", given):
            given = f"{datetime.now():%Y-%m-%d}T{given}"
        return format_time(datetime.fromisoformat(given).astimezone(UTC))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            "must be an age such as 15m, 1h or 7d, or a time such as 2026-11-24T08:00:00Z, "
            f"2026-11-24 or 08:00, not {text!r}"
        ) from None


def local(text: str | None) -> datetime | None:
    """RFC 3339 text from the server as a local time; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        return parse_time(text).astimezone()
    except ValueError:
        return None


def clock(text: str | None, *, has_date: bool | None = None) -> str:
    """A time as the reader's clock shows it, to the millisecond; the date unless it is today's."""
    at = local(text)
    if at is None:
        return "-"
    time = at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"
    if has_date is None:
        has_date = at.date() != datetime.now().date()
    return f"{at:%Y-%m-%d} {time}" if has_date else time


def ago(text: str | None) -> str:
    """How long ago, or how far ahead, a time is."""
    at = local(text)
    if at is None:
        return "-"
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """A duration in the one or two units that matter: ``340 ms``, ``12.3 s``, ``4 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"


def milliseconds(value: float | None) -> str:
    """A latency as the server gives it."""
    if value is None:
        return "-"
    return f"{value:.1f} ms" if abs(value) < 1000 else duration(abs(value) / 1000)
