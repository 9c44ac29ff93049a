"""The filter of dead letters as it stands in the URL, and the deliveries that a form names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.pages.frame import with_query
from app.pages.typed import moment_in, pattern_in
from app.problems import ProblemError
from eventbus.log import Selection
from eventbus.timestamps import format_time

FIELDS = ("type", "subscription", "error_class", "since", "until")
PATH = "/retries/dead"
MAX_TEXT_CHARS = 1024
MOST_PICKED = 500


@dataclass(slots=True)
class DeadLetterForm:
    """What was typed (``values``) and what is wrong with it (``errors``, by field)."""

    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> DeadLetterForm:
        """The fields that are not empty."""
        found = {name: given[name].strip()[:MAX_TEXT_CHARS] for name in FIELDS if name in given}
        return cls({name: value for name, value in found.items() if value})

    def selection(self) -> Selection:
        """The dead letters that it means; fills ``errors`` for what means nothing."""
        return Selection(
            pattern=pattern_in(self.values, self.errors),
            subscription=self.values.get("subscription"),
            error_class=self.values.get("error_class"),
            since=self._moment("since"),
            until=self._moment("until"),
        )

    def fixed(self) -> dict[str, str]:
        """The values, with ages as the moments that they mean now: what a question is about must
        not move while it is read."""
        moments = {name: self._moment(name) for name in ("since", "until")}
        return {
            **self.values,
            **{name: format_time(moment) for name, moment in moments.items() if moment},
        }

    @property
    def is_timed(self) -> bool:
        """Whether it asks when they died, which no kept count knows."""
        return "since" in self.values or "until" in self.values

    def href(self, path: str = PATH, **changes: str | None) -> str:
        """The list, or another page, with this filter and some values changed."""
        return with_query(path, **{**self.values, **changes})

    def _moment(self, name: str) -> datetime | None:
        return moment_in(self.values, self.errors, name)


def keys_of(named: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Deliveries as checkboxes name them, ``4711@subscription``. Raises ProblemError."""
    keys = []
    for text in dict.fromkeys(named):
        sequence, at, name = text.partition("@")
        if not (at and name and sequence.isascii() and sequence.isdecimal() and len(sequence) < 19):
            raise ProblemError(
                400, "Wrong form",
                f"delivery must be a sequence and a subscription, as 4711@mine, not {text[:80]!r}",
                [{"pointer": "/delivery", "detail": "must be a sequence and a subscription"}],
            )  # fmt: skip
        keys.append((int(sequence), name))
    if len(keys) > MOST_PICKED:
        raise ProblemError(
            400, "Wrong form", f"at most {MOST_PICKED} deliveries at once, not {len(keys)}",
            [{"pointer": "/delivery", "detail": f"at most {MOST_PICKED}"}],
        )  # fmt: skip
    return tuple(keys)
