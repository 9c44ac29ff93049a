"""An event as one line: position, time, type, subject, and what there is to know of its payload."""

from __future__ import annotations

import json
from typing import Any

from eventbus.command.colours import type_styles
from eventbus.command.moments import clock
from eventbus.command.safe import safe, safe_json
from eventbus.command.screen import Painted, Screen
from eventbus.command.table import columns, cut
from eventbus.tone import tone

_GAP = "  "
_MOST_TYPE = 40
_MOST_SUBJECT = 40
_MOST_ERROR = 160
_MOST_DATA = 2_000
_LEAST_TOLD = 8


class EventLines:
    """Makes the lines of a list that grows: columns get wider with what comes, never narrower."""

    def __init__(self, screen: Screen, *, has_data: bool, is_cut: bool = True) -> None:
        """``is_cut``: on a terminal a line ends at its edge."""
        self._screen = screen
        self._has_data = has_data
        self._is_cut = is_cut and screen.is_tty
        self._wide = {"sequence": 6, "type": 20, "subject": 8}

    def of(self, event: dict[str, Any]) -> Painted:
        """The line of an event in the CloudEvents JSON format."""
        type, subject = str(event.get("type")), str(event.get("subject"))
        cells = [
            (self._fit("sequence", f"#{event.get('sequence', '?')}", 12, right=True), ("dim",)),
            (clock(event.get("time")), ("dim",)),
            (self._fit("type", safe(type), _MOST_TYPE), type_styles(type)),
            # The type stands in for a subject that nobody gave.
            (self._fit("subject", safe("" if subject == type else subject), _MOST_SUBJECT), ()),
        ]
        told = self._told(event, type)
        used = sum(columns(text) + len(_GAP) for text, _ in cells)
        left = self._screen.size()[0] - used if self._is_cut else _MOST_DATA
        if told and left >= _LEAST_TOLD:
            is_error = tone(type) == "bad" and not self._has_data
            cells.append((cut(told, left), ("red" if is_error else "dim",)))
        else:
            cells[-1] = (cells[-1][0].rstrip(), ())
        return Painted(_GAP.join(self._screen.paint(text, *styles) for text, styles in cells))

    def _told(self, event: dict[str, Any], type: str) -> str:
        if event.get("dataremoved"):
            return "(payload removed by retention)"
        data = event.get("data")
        if self._has_data:
            return safe_json(data)
        return cut(safe(failure(data)), _MOST_ERROR) if tone(type) == "bad" else ""

    def _fit(self, column: str, text: str, most: int, *, right: bool = False) -> str:
        wide = self._wide[column] = max(self._wide[column], min(most, columns(text)))
        text = cut(text, wide) if columns(text) > most else text
        space = " " * (wide - columns(text))
        return space + text if right else text + space


def failure(data: Any) -> str:
    """What a payload says went wrong, on one line; "" when it does not."""
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, dict):
        kind, message = error.get("type"), error.get("message")
        told = ": ".join(str(part) for part in (kind, message) if part)
        return told or json.dumps(error, ensure_ascii=False)
    return str(error) if error else ""
