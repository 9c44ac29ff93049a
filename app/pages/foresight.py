"""A dry run for reading: the tree of what would follow, and the rows that would change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eventbus.dryrun import DryRunResult, Foreseen, StateChange

# What a row is called by, in the order of preference.
_NAMES = ("eval_id", "task_id", "path", "metric", "name", "id", "queue")
# What keeps a row in order tells a reader nothing, nor do times, which will be others.
_UNTOLD = frozenset({
    "first_sequence", "last_sequence", "sequence", "base_sequence", "failed_attempts", "rank",
    "fingerprint", "announced", "first_seen", "last_seen", "time", "bucket", "is_increment",
    "base", "samples", "is_open", "state_before_mute", "occurrences_at_mute",
})  # fmt: skip
_TABLES = {
    "evaluations": "Evaluation", "evaluation_results": "Result of", "alerts": "Alert",
    "queue_tasks": "Task", "queues": "Queue", "queue_throughput": "Throughput of",
    "metrics": "Metric", "metric_samples": "Sample of", "files": "File",
    "handler_counters": "Counter", "evaluation_inbox": "In the inbox", "saved_views": "Saved view",
}  # fmt: skip
# What pages keep to draw histories from: the rows above say what changes.
_UNTOLD_TABLES = frozenset({
    "evaluation_steps", "alert_buckets", "alert_occurrences", "alert_changes",
})  # fmt: skip
_MOST_COLUMNS = 8
_MOST_CHARS = 120


@dataclass(slots=True)
class FutureNode:
    """An event that would be recorded, below the one that would cause it."""

    foreseen: Foreseen
    children: list[FutureNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cell:
    """A column that would have another value; ``before`` is None in a row that would be new."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class RowStory:
    """What would become of one row: ``kind`` is "new", "changed" or "gone"."""

    what: str
    name: str
    kind: str
    by: str
    cells: list[Cell]


def tree(result: DryRunResult) -> list[FutureNode]:
    """The given events, and below each what it would cause."""
    nodes: dict[str, FutureNode] = {}
    roots: list[FutureNode] = []
    for foreseen in [*result.given, *result.further]:
        node = FutureNode(foreseen)
        cause = nodes.get(foreseen.event.causationid or "") if foreseen.by else None
        (roots if cause is None else cause.children).append(node)
        nodes.setdefault(foreseen.event.id, node)
    return roots


def stories(result: DryRunResult) -> list[RowStory]:
    """What would become of each row in the end, counters last."""
    first: dict[tuple[str, str], StateChange] = {}
    last: dict[tuple[str, str], StateChange] = {}
    for change in result.changes:
        place = change.table, str(change.key)
        first.setdefault(place, change)
        last[place] = change
    found = [
        _story(first[place], change)
        for place, change in last.items()
        if change.table not in _UNTOLD_TABLES
    ]
    told = [story for story in found if story is not None]
    return sorted(told, key=lambda story: (story.what == _TABLES["handler_counters"], story.what))


def _story(first: StateChange, last: StateChange) -> RowStory | None:
    before, after = first.before, last.after
    row = after or before or {}
    kind = "gone" if after is None else "new" if before is None else "changed"
    names = ("service", *_NAMES) if last.table == "alerts" else _NAMES
    name = next((row[name] for name in names if row.get(name) is not None), None)
    cells = [] if after is None else _cells(before, after, name)
    if kind == "changed" and not cells:
        return None
    return RowStory(
        _TABLES.get(last.table, last.table), _shown(name), kind, last.subscription,
        cells[:_MOST_COLUMNS],
    )  # fmt: skip


def _cells(before: dict[str, Any] | None, after: dict[str, Any], name: Any) -> list[Cell]:
    cells = []
    for column, value in after.items():
        old = None if before is None else before[column]
        is_told = column not in _UNTOLD and not column.endswith("_at") and value != name
        if is_told and old != value:
            cells.append(Cell(column, None if before is None else _shown(old), _shown(value)))
    return cells


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = "yes" if value is True else "no" if value is False else str(value)
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"
