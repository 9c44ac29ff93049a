"""What the live page is sent: JSON messages whose ``content`` htmx swaps in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.live.fold import Row, counts_by_type
from app.live.fragments import Fragments, panels_partial, rows_partial
from app.live.frames import json_frame
from app.live.history import Span


@dataclass(frozen=True, slots=True)
class Filled:
    """The part of the log, both ends included, that a reconnecting page had missed."""

    first: int
    last: int
    count: int


def hello_frame(
    boot: str,
    position: int,
    filled: Filled | None,
    is_restarted: bool,
    removed_upto: int | None = None,
) -> bytes:
    """The first message: who answers, and what it will fill in.

    ``removed_upto``: up to there some of what it fills in was removed by retention.
    """
    return json_frame({
        "kind": "hello",
        "boot": boot,
        "sequence": position,
        "filled": filled
        and {"from": filled.first, "to": filled.last, "count": filled.count},
        "restarted": is_restarted,
        "removed_upto": removed_upto,
    })  # fmt: skip


def position_frame(position: int) -> bytes:
    """Nothing to see up to ``position``."""
    return json_frame({"kind": "rows", "sequence": position, "count": 0})


def rows_frame(fragments: Fragments, rows: Sequence[Row], count: int, position: int) -> bytes:
    """Rows, newest first, that show ``count`` new events."""
    content = rows_partial(fragments.rows(rows))
    return json_frame({"kind": "rows", "sequence": position, "count": count, "content": content})


def span_frame(fragments: Fragments, span: Span) -> bytes:
    """A part of the log that the page missed; when it is long, counts stand for its older rows."""
    content = rows_partial(fragments.rows(span.rows)) if span.count else None
    if not span.folds:
        message = {"kind": "rows", "sequence": span.upto, "count": span.count}
    else:
        message = {
            "kind": "behind",
            "sequence": span.upto,
            "count": span.count,
            "skipped": sum(fold.count for fold in span.folds),
            "by_type": counts_by_type(span.folds),
        }
    return json_frame(message if content is None else {**message, "content": content})


def panels_frame(panels: Iterable[tuple[str, str]]) -> bytes:
    """Panels by name with their new HTML."""
    return json_frame({"kind": "panels", "content": panels_partial(panels)})
