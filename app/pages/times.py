"""Times and durations as short text; static/js/time-forms.js writes the same in local time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from eventbus.timestamps import EPOCH, parse_time

_RELATIVE = re.compile(r"-?(?P<count>[0-9]{1,6})(?P<unit>[smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def clock(value: datetime) -> str:
    """``14:03:22.123``, in UTC; with the date before it when that is not today."""
    text = value.strftime("%H:%M:%S.") + f"{value.microsecond // 1000:03d}"
    return text if value.date() == datetime.now(UTC).date() else f"{value:%b %d} {text}"


def exact(value: datetime) -> str:
    """``2026-11-24 14:03:22.123456 UTC``."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def ago(value: datetime, now: datetime | None = None) -> str:
    """``just now``, ``12 s ago``, ``5 min ago``, ``3 h ago``; for later ones ``in 5 s``."""
    seconds = ((now or datetime.now(UTC)) - value).total_seconds()
    if abs(seconds) < 3:
        return "just now"
    text = coarse(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def coarse(seconds: float) -> str:
    """One unit, rounded down: ``42 s``, ``5 min``, ``3 h``, ``2 d``."""
    whole = int(seconds)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def elapsed(seconds: float) -> str:
    """A running clock: ``0:42``, ``12:05``, ``3:04:05``, ``2d 03:04:05``."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}:{secs:02d}"
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def span(milliseconds: float | None) -> str:
    """A measured duration: ``0.4 ms``, ``340 ms``, ``4.2 s``, ``2 min 5 s``, ``3 h 4 min``."""
    if milliseconds is None:
        return "–"
    if milliseconds < 0:
        return "−" + span(-milliseconds)
    if milliseconds < 0.1:
        return "<0.1 ms" if milliseconds else "0 ms"
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3_600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3_600, "h", whole % 3_600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3_600, "h")


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"


def between(start: datetime | None, end: datetime | None) -> float | None:
    """Milliseconds from ``start`` to ``end``, None when either is not known."""
    if start is None or end is None:
        return None
    return (end - start).total_seconds() * 1000


def is_age(text: str) -> bool:
    """Whether a moment is written as an age, so that it means another one later."""
    return _RELATIVE.fullmatch(text) is not None


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """A moment typed or linked to: RFC 3339, a local form's ``2026-11-24T09:30`` (taken as UTC),
    or an age like ``15m``, ``1h``, ``7d``.

    Raises ValueError with a sentence that says what is allowed.
    """
    text = text.strip()
    relative = _RELATIVE.fullmatch(text)
    if relative:
        seconds = int(relative["count"]) * _UNITS[relative["unit"]]
        try:
            return (now or datetime.now(UTC)) - timedelta(seconds=seconds)
        except OverflowError:
            raise ValueError(f"{text!r} is longer ago than there are dates") from None
    try:
        return parse_time(text)
    except ValueError:
        pass  # perhaps a date without a zone, which browsers' date fields send
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: write 2026-11-24T09:30:00Z, or an age like 15m, 1h or 7d"
        ) from None


def parse_recorded(text: str, now: datetime) -> datetime:
    """A moment as ``parse_moment`` reads it at which something can have been recorded.

    What is counted by when it was recorded looks some time further back than it was asked for;
    from 1970 on there are always such dates. Raises ValueError.
    """
    return check_recorded(parse_moment(text, now), text)


def check_recorded(found: datetime, text: str) -> datetime:
    """The same moment. Raises ValueError for one, given as ``text``, that is before 1970."""
    if found < EPOCH:
        raise ValueError(f"must be from 1970-01-01 on, not {text!r}: no log is as old")
    return found
