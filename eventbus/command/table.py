"""A table of text: columns as wide as what is in them, cut to the terminal when there is one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eventbus.command.safe import safe
from eventbus.command.screen import Painted, Screen, joined

_GAP = "  "

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
    last = len(head) - 1
    wide = [
        max(columns(line[index]) for line in [list(head), *plain]) for index in range(len(head))
    ]
    if width is not None:
        fixed = sum(wide[:last]) + len(_GAP) * last
        wide[last] = max(8, min(wide[last], width - fixed))
        if fixed + wide[last] > width:  # the widest of the others gives way
            widest = max(range(last), key=lambda index: wide[index], default=0)
            wide[widest] = max(6, wide[widest] - (fixed + wide[last] - width))
    lines = [_line(screen, [(name, ("dim",)) for name in head], list(head), wide, right, width)]
    for row, texts in zip(rows, plain, strict=True):
        lines.append(_line(screen, row, texts, wide, right, width))
    return lines


def _line(
    screen: Screen,
    row: Sequence[Cell],
    texts: Sequence[str],
    wide: Sequence[int],
    right: Sequence[int],
    width: int | None,
) -> Painted:
    parts: list[str] = []
    last = len(texts) - 1
    for index, (cell, text) in enumerate(zip(row, texts, strict=True)):
        if width is not None:
            text = cut(text, wide[index])
        space = Painted(" " * max(0, wide[index] - columns(text)))
        painted = screen.paint(Painted(text), *_styles(cell))
        if index in right:
            parts += [space, painted]
        elif index == last:
            parts.append(painted)
        else:
            parts += [painted, space]
        if index != last:
            parts.append(Painted(_GAP))
    return joined(parts)


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _styles(cell: Cell) -> tuple[str, ...]:
    return () if isinstance(cell, str) else cell[1]
