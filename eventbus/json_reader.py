"""Reading JSON text: one reader, and one wording for what is wrong with it and where."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from eventbus.errors import JsonTextError
from eventbus.validation import shown


def read_json(text: str | bytes, *, is_strict: bool = True) -> Any:
    """The value of ``text`` (RFC 8259).

    With ``is_strict`` an object must not have a name twice (I-JSON, RFC 7493 §2.3): readers
    disagree which member counts. Raises JsonTextError, which says what is wrong at which line and
    column.
    """
    try:
        # RFC 8259 §8.1 lets a parser skip a byte order mark; some Windows tools send one.
        given = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return (_strict if is_strict else _lenient).decode(given)
    except UnicodeDecodeError as error:
        problem = f"must be UTF-8, byte {error.object[error.start]:#04x} at {error.start} is not"
    except json.JSONDecodeError as error:
        problem = f"must be JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:  # a constant, a name that is there twice
        problem = f"must be JSON: {error}"
        if "integer string conversion" in str(error):  # which tells readers of Python what to do
            problem = f"has a number of more than {sys.get_int_max_str_digits():,} digits"
    raise JsonTextError(problem)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"an object has the name {shown(name)} twice")
    return found


_strict = json.JSONDecoder(parse_constant=_reject_constant, object_pairs_hook=_unique)
_lenient = json.JSONDecoder(parse_constant=_reject_constant)
