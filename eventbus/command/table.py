"""A table of text: columns as wide as what is in them, cut to the terminal when there is one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eventbus.command.safe import safe
from eventbus.command.screen import Painted, Screen, joined

_GAP = "  "
_LEAST = 8

Cell = str | tuple[str, tuple[str, ...]]
"""Text, or text and the styles that it is painted in."""


def columns(text: str) -> int:
    """How many columns harmless text takes on a terminal (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, most: int) -> str:
    """Harmless text in at most so many columns, with an ellipsis for what is missing."""
    if columns(text) <= most:
        return text
    width, kept = 0, []
    for char in text:
        width += columns(char)
        if width > most - 1:
            break
        kept.append(char)
    return "".join(kept) + "…" if most > 0 else ""


def write_table(
    screen: Screen,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    right: Sequence[int] = (),
) -> None:
    """``rows`` below ``head``; the columns ``right`` stand at the right; the last one is cut to
    the terminal's width, or else ends where it ends.
    """
    for line in table_lines(screen, head, rows, right=right, width=screen.width):
        screen.line(line)


def table_lines(
    screen: Screen,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    right: Sequence[int] = (),
    width: int | None,
) -> list[Painted]:
    """The lines of a table in ``width`` columns; None for any width."""
    plain = [[safe(_text(cell)) for cell in row] for row in rows]
    wide = [
        max(columns(line[index]) for line in [list(head), *plain]) for index in range(len(head))
    ]
    if width is not None:
        wide = _fitted(wide, width)
    titles = [(name, ("dim",)) for name in head]
    return [
        _line(screen, row, texts, wide, right)
        for row, texts in zip([titles, *rows], [list(head), *plain], strict=True)
    ]


def _fitted(wide: list[int], width: int) -> list[int]:
    """The widest columns give way, the last one first; what does not fit then is left out."""
    wide = list(wide)
    while len(wide) > 1:
        excess = sum(wide) + len(_GAP) * (len(wide) - 1) - width
        if excess <= 0:
            break
        last = len(wide) - 1
        index = last if wide[last] > _LEAST else max(range(last), key=wide.__getitem__)
        if wide[index] <= _LEAST:
            wide.pop()
        else:
            wide[index] = max(_LEAST, wide[index] - excess)
    return wide if len(wide) > 1 else [min(wide[0], width)]


def _line(
    screen: Screen,
    row: Sequence[Cell],
    texts: Sequence[str],
    wide: Sequence[int],
    right: Sequence[int],
) -> Painted:
    parts: list[str] = []
    for index, most in enumerate(wide):
        text = cut(texts[index], most)
        space = Painted(" " * (most - columns(text)))
        painted = screen.paint(Painted(text), *_styles(row[index]))
        if index in right:
            parts += [space, painted]
        elif index == len(wide) - 1:
            parts.append(painted)
        else:
            parts += [painted, space]
        parts.append(Painted(_GAP))
    return joined(parts[:-1])


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _styles(cell: Cell) -> tuple[str, ...]:
    return () if isinstance(cell, str) else cell[1]
