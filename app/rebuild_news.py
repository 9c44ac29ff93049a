"""How far a rebuild is: as the API tells it, and as the processes of one log tell each other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from eventbus.rebuild import Progress
from eventbus.timestamps import format_time, from_microseconds

STOP = "rebuild-stop"
"""A topic of the log: whoever runs one is to stop it."""
_NEWS = "rebuild:"
# A notification of PostgreSQL has less than 8,000 bytes (its manual, NOTIFY).
_MOST_BYTES = 7_000

Told = dict[str, Any]
"""The members of a Progress; its times as RFC 3339, of its examples the text."""


def described(progress: Progress) -> Told:
    """A progress as the API tells it."""
    shown = {field.name: getattr(progress, field.name) for field in fields(progress)}
    ended = progress.finished_at
    return {
        **shown,
        "examples": [str(each) for each in progress.examples],
        "started_at": _text(progress.started_at),
        "finished_at": None if ended is None else _text(ended),
    }


def news(progress: Progress) -> str:
    """A topic that tells it, with as many of its examples as there is room for."""
    told = described(progress)
    told["error"] = told["error"] and told["error"][:1_000]
    examples, told["examples"] = told["examples"], []
    room = _MOST_BYTES - len(_topic(told))
    for example in examples:
        room -= len(json.dumps(example)) + 2
        if room < 0:
            break
        told["examples"].append(example)
    return _topic(told)


def newest(topics: Iterable[str]) -> Told | None:
    """The latest progress that these topics tell, if any do."""
    told = [json.loads(each.removeprefix(_NEWS)) for each in topics if each.startswith(_NEWS)]
    return max(told, key=_order, default=None)


def is_later(told: Told, known: Told | None) -> bool:
    """Whether it is news to who knows the other."""
    return known is None or _order(told) > _order(known)


def _order(told: Told) -> tuple[str, bool, int, int]:
    return told["started_at"], told["finished_at"] is not None, told["upto"], told["position"]


def _topic(told: Told) -> str:
    return _NEWS + json.dumps(told)


def _text(seconds: float) -> str:
    return format_time(from_microseconds(round(seconds * 1_000_000)))
