"""What a run of the harness did and found, in figures."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.crash.points import LETHAL, POINTS


@dataclass(slots=True)
class Tally:
    """Sums over all databases; ``kills`` by how, ``stages`` by where the killed process was."""

    started: float = field(default_factory=time.monotonic)
    rounds: int = 0
    databases: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    passes: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)

    def never_passed(self) -> list[str]:
        """Points that no process has come by: they are no test of anything."""
        return [p.name for p in POINTS if not self.passes[p.name] and p is not LETHAL]

    def never_fired(self) -> list[str]:
        """Points at which nothing has been killed yet."""
        return [p.name for p in POINTS if not self.kills[f"at {p.name}"]]

    def line(self) -> str:
        """Where it is, in one line."""
        return (
            f"{self.rounds} rounds, {self.databases} databases, {self.kills.total()} kills, "
            f"{self.checked['events']:,} events, {self.findings.total()} findings, "
            f"{time.monotonic() - self.started:.0f} s"
        )

    def report(self) -> str:
        """Everything, as text for people."""
        parts = [
            self.line(),
            _table("checked", self.checked),
            _table("starts", self.starts),
            _table("kills", self.kills),
            _table("the process was then", self.stages),
        ]
        if self.never_fired():
            parts.append(f"no kill yet at: {', '.join(self.never_fired())}")
        if self.findings:
            parts.append(_table("FINDINGS", self.findings))
        return "\n\n".join(parts)


def _table(title: str, counter: Counter[str]) -> str:
    lines = [f"  {count:>10,}  {name}" for name, count in counter.most_common()]
    return "\n".join([f"{title}:", *lines])
