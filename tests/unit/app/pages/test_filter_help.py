"""What is proposed in the place of a filter of types that is none."""

from __future__ import annotations

import pytest

from app.pages.filter_help import proposal
from eventbus import Pattern

SEEN = ("evaluation.progress", "queue.task.added", "evaluation.started", "alone")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ev*", "evaluation.*"),
        ("eval*.started", "evaluation.*"),
        ("evaluation.st*", "evaluation.started"),
        ("queue.t*", "queue.task.*"),
        ("queue..", "queue.*"),
        ("alo#", "alone"),
        ("evaluation.progress.", "evaluation.progress"),
    ],
)
def test_the_first_seen_type_that_begins_so_is_proposed(text: str, meant: str) -> None:
    assert proposal(text, SEEN) == meant
    Pattern(meant)


@pytest.mark.parametrize("text", ["", "*x", "x y", "nothing*", "..", "é"])
def test_nothing_is_proposed_for_what_no_seen_type_begins_with(text: str) -> None:
    assert proposal(text, SEEN) is None
