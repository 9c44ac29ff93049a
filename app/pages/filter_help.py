"""What was probably meant by a filter of types that is none: a pattern of types that were seen."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BEGINNING = re.compile(r"[A-Za-z0-9_.-]*")


def proposal(text: str, types: Iterable[str]) -> str | None:
    """The pattern, or type, whose beginning ``text`` has, of the first of ``types`` that fits.

    "ev*" is "evaluation.*" where evaluations were seen, "queue.task.a*" is "queue.task.added".
    """
    match = _BEGINNING.match(text)
    beginning = match[0].rstrip(".") if match else ""
    if not beginning:
        return None
    place = beginning.count(".") + 1
    for type in types:
        if type.startswith(beginning):
            segments = type.split(".")
            return type if len(segments) == place else ".".join([*segments[:place], "*"])
    return None
