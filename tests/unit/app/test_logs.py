"""Log lines: one line a message, and nothing that came from outside forges another."""

from __future__ import annotations

import logging
import sys

from app.logs import OneLineFormatter


def line(message: str, *values: object, exc_info: object = None) -> str:
    record = logging.LogRecord("here", logging.INFO, "f.py", 1, message, values, exc_info)
    return OneLineFormatter("%(levelname)s %(message)s").format(record)


def test_a_line_break_in_a_value_is_escaped() -> None:
    assert line("started %s", "eval-1\nERROR forged") == r"INFO started eval-1\nERROR forged"


def test_terminal_escapes_and_lone_surrogates_are_escaped() -> None:
    assert line("%s", "\x1b[2J\ud800\u2028") == r"INFO \x1b[2J\ud800\u2028"


def test_ordinary_text_stays_as_it_is() -> None:
    assert line("%s", "Größe\t→ 3") == "INFO Größe\t→ 3"


def test_a_traceback_follows_indented() -> None:
    try:
        raise ValueError("bad\rvalue")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    first, *rest = text.split("\n")
    assert first == "INFO failed"
    assert all(part.startswith("    ") for part in rest)
    assert rest[-1] == r"    ValueError: bad\rvalue"
