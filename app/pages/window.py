"""The window of time that figures are of: a name like 1h, or a start and an end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.pages.times import parse_recorded

NAMED = {"5m": "5 min", "1h": "1 hour", "24h": "24 hours"}
DEFAULT = "1h"
MOST = timedelta(days=92)
_AGE = re.compile(r"[0-9]{1,6}[mhd]")


class WindowError(ValueError):
    """What was given is no window; ``field`` names the parameter."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since`` until ``until``; ``name`` is how it was asked for, "" for two moments."""

    since: datetime
    until: datetime
    name: str

    @property
    def query(self) -> dict[str, str]:
        """The parameters that ask for it again."""
        if self.name:
            return {"window": self.name}
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}

    @classmethod
    def read(cls, args: Mapping[str, str], default: str = DEFAULT) -> Window:
        """What ``window`` or ``since`` and ``until`` say. Raises WindowError."""
        now = datetime.now(UTC)
        since, until = args.get("since", "").strip(), args.get("until", "").strip()
        if not since and not until:
            return cls.named(args.get("window", "").strip() or default, now)
        if _AGE.fullmatch(since) and not until:  # the same window, however it was asked for
            try:
                return cls.named(since, now)
            except WindowError as error:
                raise WindowError("since", str(error)) from None
        start = _moment("since", since, now) if since else None
        end = min(_moment("until", until, now), now) if until else now
        if start is None:
            start = end - timedelta(hours=1)
        if start >= end:
            raise WindowError("since", f"must be before the end of the window, {end:%F %T} UTC")
        if end - start > MOST:
            raise WindowError("since", f"a window has at most {MOST.days} days")
        return cls(start, end, "")

    @classmethod
    def named(cls, name: str, now: datetime | None = None) -> Window:
        """The newest minutes, hours or days. Raises WindowError."""
        now = now or datetime.now(UTC)
        if not _AGE.fullmatch(name):
            raise WindowError("window", f"must be like 5m, 1h or 7d, not {name[:40]!r}")
        since = _moment("window", name, now)
        if not timedelta(0) < now - since <= MOST:
            raise WindowError("window", f"must be 1m to {MOST.days}d, not {name}")
        return cls(since, now, name)


def _moment(field: str, text: str, now: datetime) -> datetime:
    try:
        return parse_recorded(text, now)
    except ValueError as error:
        raise WindowError(field, str(error)) from None
