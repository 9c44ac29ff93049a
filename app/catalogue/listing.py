"""What is declared and what was seen, side by side: the lines of the catalogue."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from app.live.traffic import REST, TypeTraffic
from eventbus.catalogue import Declaration, Found, TypeTally
from eventbus.log.type_sources import SourceSeen, sources
from eventbus.patterns import Pattern, PatternIndex
from eventbus.statistics import SubscriptionStats

if TYPE_CHECKING:
    from app.runtime import Runtime

State = Literal["declared", "seen", "never"]
STATES: tuple[State, ...] = ("declared", "seen", "never")
"""Declared and seen; seen and nobody has declared it; declared and never seen."""
_KEPT_S = 15.0
_MOST_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One type, or one pattern that is declared; ``sources`` and ``handlers`` by name."""

    type: str
    declaration: Declaration | None
    count: int
    rate: float
    last_at: datetime | None
    sources: Sequence[SourceSeen]
    handlers: Sequence[SubscriptionStats]
    tally: TypeTally
    is_pattern: bool = False

    @property
    def family(self) -> str:
        return self.type.partition(".")[0]

    @property
    def is_used(self) -> bool:
        """Whether it is anybody's: seen, refused, or declared by somebody outside the code."""
        is_built_in = self.declaration is not None and self.declaration.origin == "code"
        return self.count > 0 or self.tally.violations > 0 or not is_built_in

    @property
    def state(self) -> State:
        if not self.count:
            return "never"
        return "seen" if self.declaration is None else "declared"


class Sources:
    """Who publishes what, remembered for a while: each is a look-up of its own in the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, list[SourceSeen]]] = {}

    def of(self, parts: Runtime, type: str) -> list[SourceSeen]:
        """The sources of a type's newest events."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(type)
        if kept is not None and now - kept[0] < _KEPT_S:
            return kept[1]
        found = sources(parts.bus.log, type)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[type] = now, found
        return found


_sources = Sources()


def entries(parts: Runtime, text: str = "") -> list[Entry]:
    """The catalogue by name: what contains ``text`` in its name, title, description or owner."""
    seen = {each.type: each for each in parts.hub.traffic.types() if each.type != REST}
    found: list[Entry] = []
    matched: dict[str, list[TypeTraffic]] = {}
    subscriptions = _index(parts)
    for type, traffic in seen.items():
        holding = parts.catalogue.find(type).declaration
        if holding is not None and holding.type != type:
            matched.setdefault(holding.type, []).append(traffic)
        found.append(_entry(parts, type, holding, traffic, subscriptions))
    for declaration in parts.catalogue.all():
        if declaration.type in seen:
            continue
        own = matched.get(declaration.type, [])
        is_pattern = not declaration.pattern.is_literal
        found.append(Entry(
            declaration.type, declaration, sum(each.count for each in own),
            round(sum(each.rate for each in own), 1), None, (),
            () if is_pattern else subscriptions.match(declaration.type),
            parts.catalogue.tally.of(declaration.type), is_pattern,
        ))  # fmt: skip
    wanted = text.strip().lower()
    return sorted((each for each in found if wanted in _words(each)), key=lambda each: each.type)


def with_sources(parts: Runtime, entry: Entry) -> Entry:
    """The same with who publishes it, which takes a look into the log."""
    if entry.is_pattern or not entry.count:
        return entry
    found = _sources.of(parts, entry.type)
    return Entry(
        entry.type, entry.declaration, entry.count, entry.rate,
        found[0].last_at if found else entry.last_at, found, entry.handlers, entry.tally,
    )  # fmt: skip


def entry_of(parts: Runtime, type: str) -> tuple[Entry | None, Found]:
    """One type with its sources, None when it is neither declared nor seen; and what holds."""
    found = parts.catalogue.find(type)
    exact = parts.catalogue.get(type)
    is_pattern = exact is not None and not exact.pattern.is_literal
    traffic = next((each for each in parts.hub.traffic.types() if each.type == type), None)
    if is_pattern:
        entry = next((each for each in entries(parts) if each.type == type), None)
        return entry, Found(exact, found.mode, found.compiled)
    if traffic is None and exact is None:
        if not sources(parts.bus.log, type, 1):
            return None, found
        traffic = TypeTraffic(type, 1, 0.0)  # one of more types than are told apart
    traffic = traffic or TypeTraffic(type, 0, 0.0)
    entry = _entry(parts, type, found.declaration, traffic, _index(parts))
    return with_sources(parts, entry), found


def _entry(
    parts: Runtime, type: str, holding: Declaration | None, traffic: TypeTraffic,
    subscriptions: PatternIndex[SubscriptionStats],
) -> Entry:  # fmt: skip
    return Entry(
        type, holding, traffic.count, traffic.rate, None, (), subscriptions.match(type),
        parts.catalogue.tally.of(type),
    )  # fmt: skip


def _index(parts: Runtime) -> PatternIndex[SubscriptionStats]:
    found: PatternIndex[SubscriptionStats] = PatternIndex()
    for stats in parts.bus.subscriptions():
        found.add(Pattern(stats.pattern), stats)
    return found


def _words(entry: Entry) -> str:
    declared = entry.declaration
    more = "" if declared is None else f"{declared.title} {declared.description} {declared.owner}"
    return f"{entry.type} {more}".lower()
