"""The lines of a file in batches, each with an id, so that sending them twice is harmless."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eventbus.ids import derived_id, new_id

_BATCH_BYTES = 4 * 1024 * 1024
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines to be sent together: ``first_line`` counts from 1, ``end`` in bytes from the start."""

    body: bytes
    first_line: int
    count: int
    end: int


def digest(path: Path) -> str:
    """What tells this file from others."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            found.update(data)
    return found.hexdigest()


def batches(
    lines: Iterable[bytes], key: str | None, most_lines: int, first_line: int = 1
) -> Iterator[Batch]:
    """Batches of at most ``most_lines``, from ``first_line`` on.

    ``key`` is the file's digest; without it, lines that have no id get one that is used once.
    """
    kept: list[bytes] = []
    size = end = number = 0
    begin = first_line
    for number, line in enumerate(lines, 1):
        end += len(line)
        if number < first_line:
            continue
        line = _with_id(line.rstrip(b"\r\n"), key, number)
        kept.append(line)
        size += len(line) + 1
        if len(kept) >= most_lines or size >= _BATCH_BYTES:
            yield Batch(b"\n".join(kept), begin, len(kept), end)
            begin, kept, size = number + 1, [], 0
    if kept:
        yield Batch(b"\n".join(kept), begin, len(kept), end)


def _with_id(line: bytes, key: str | None, number: int) -> bytes:
    """The line; with an id when it is an object that has none."""
    if b'"id"' in line[:200] and line.startswith(b'{"specversion"'):
        return line  # an export's
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line  # the bus will say what is wrong with it
    if not isinstance(value, dict) or value.get("id") is not None or "type" not in value:
        return line
    value["id"] = new_id() if key is None else derived_id("/command/import", key, "line", number)
    return json.dumps(value).encode()
