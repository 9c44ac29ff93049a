"""The list of evaluations: what it can be filtered and sorted by, and the SQL that pages it.

Every query walks one index: that of the filter when there is at most one and the newest come
first, else ix_evaluations_list, which holds all that filters and orders need. Only a search for
text walks the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TextClause,
    and_,
    case,
    column,
    func,
    literal,
    or_,
    select,
    text,
)

from eventbus.errors import CursorError
from eventbus.log.cursor import decode_cursor, encode_cursor
from handlers.evaluation.lifecycle import STATES, State
from handlers.evaluation.table import evaluations, ix_evaluations_list
from handlers.payload import to_json

Sort = Literal["started", "eval_id", "state", "attempt", "task", "model", "elapsed"]
SORTS: tuple[Sort, ...] = ("started", "eval_id", "state", "attempt", "task", "model", "elapsed")
"""``started`` is the order of first events; ``elapsed`` has what runs now above what has ended."""

Order = Literal["asc", "desc"]

SEARCHED = 50_000
"""So many evaluations, the newest, are searched for a text: errors may be long."""

_MAX_LIMIT = 1_000
_MOST_NAMES = 200
_BEYOND_ENDED = 2**62  # above any duration in microseconds, far inside 64 bits

# Columns by name alone, because SQLAlchemy has no way to say INDEXED BY of a table of its own.
# SQLite has to be told: left to itself it sorts rows of the table that an index on a filter finds.
# PostgreSQL cannot be told, and weighs both ways by the numbers of rows that it expects.
_c: Any = SimpleNamespace(**{each.name: column(each.name, each.type) for each in evaluations.c})
_listed = text(f"evaluations INDEXED BY {ix_evaluations_list.name}")
_running = _c.state.in_(("active", "stalled"))
_KEYS: dict[Sort, ColumnElement[Any]] = {
    "started": _c.first_sequence,
    "eval_id": _c.eval_id,
    "state": _c.state,
    "attempt": _c.attempt,
    "task": func.coalesce(_c.task, ""),
    "model": func.coalesce(_c.model, ""),
    # What runs began some time ago: the earlier, the higher, without asking what time it is now.
    "elapsed": func.coalesce(
        case(
            (_running, literal(_BEYOND_ENDED) - _c.attempt_started_at),
            # Publishers' clocks may disagree.
            (_c.finished_at < _c.started_at, 0),
            else_=_c.finished_at - _c.started_at,
        ),
        -1,
        type_=BigInteger(),  # PostgreSQL is told the type of what it is compared with
    ),
}


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """Which evaluations, in which order; every given condition must hold.

    ``task`` and ``model`` are exact; ``text`` is looked for in the id and in the last error, with
    ASCII letters taken as equal in either case, among the newest SEARCHED evaluations. Among equals
    the newest come first. ``limit`` is 1 to 1000.
    """

    state: State | None = None
    task: str | None = None
    model: str | None = None
    text: str | None = None
    sort: Sort = "started"
    order: Order = "desc"
    limit: int = 50
    cursor: str | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the state narrows the list."""
        return any(value is not None for value in (self.task, self.model, self.text))


def page_keys(conn: Connection, query: EvaluationQuery) -> tuple[list[int], str | None]:
    """The primary keys of one page in its order, and the cursor of the next, None at the end.

    Raises CursorError for a cursor that this list did not hand out.
    """
    limit = max(1, min(query.limit, _MAX_LIMIT))
    key = _KEYS[query.sort]
    is_down = query.order == "desc"
    statement = _filtered(conn, query, select(_c.first_sequence, key.label("sort_key")))
    if query.cursor is not None:
        statement = statement.where(_behind(conn, query))
    statement = statement.order_by(key.desc() if is_down else key.asc())
    if query.sort != "started":
        statement = statement.order_by(_c.first_sequence.desc())
    rows = conn.execute(statement.limit(limit + 1)).all()
    keys = [row.first_sequence for row in rows[:limit]]
    if len(rows) <= limit:
        return keys, None
    return keys, _cursor(query.sort, rows[limit - 1])


def count_by_state(conn: Connection, query: EvaluationQuery) -> dict[str, int]:
    """How many match in each state, whatever state the query asks for."""
    statement = _filtered(conn, query, select(_c.state, func.count()), with_state=False)
    counted = dict.fromkeys(STATES, 0)
    for state, count in conn.execute(statement.group_by(_c.state)):
        counted[state] = count
    return counted


def names(conn: Connection, name: Literal["task", "model"]) -> list[str]:
    """The tasks or models that there are, in their order; 200 at most."""
    # One step in the index for each name (ix_evaluations_task, ix_evaluations_model): DISTINCT
    # would walk all of it.
    named = evaluations.c[name]
    known = select(func.min(named).label("name")).cte("known", recursive=True)
    following = select(func.min(named)).where(named > known.c.name).scalar_subquery()
    known = known.union_all(select(following).where(known.c.name.is_not(None)))
    found = select(known.c.name).where(known.c.name.is_not(None)).limit(_MOST_NAMES)
    return list(conn.scalars(found))


def _filtered(
    conn: Connection, query: EvaluationQuery, statement: Select[Any], with_state: bool = True
) -> Select[Any]:
    state = query.state if with_state else None
    conditions = [
        getattr(_c, name) == value
        for name, value in (("state", state), ("task", query.task), ("model", query.model))
        if value is not None
    ]
    is_on_file = conn.dialect.name == "sqlite"
    source: FromClause | TextClause = _listed if is_on_file else evaluations
    # One filter and the newest first are answered by the index of the filter, ids by their own.
    is_newest = with_state and query.sort == "started"
    if (is_newest and len(conditions) <= 1) or (query.sort == "eval_id" and not conditions):
        source = evaluations
    if query.text is not None:
        source = evaluations  # the errors are only there
        newest = select(evaluations.c.first_sequence).order_by(evaluations.c.first_sequence.desc())
        oldest = conn.scalar(newest.offset(SEARCHED - 1).limit(1))
        if oldest is not None:
            conditions.append(_c.first_sequence >= oldest)
        in_error = _like(_c.error, to_json(query.text)[1:-1], is_on_file)  # it is JSON text
        conditions.append(or_(_like(_c.eval_id, query.text, is_on_file), in_error))
    return statement.select_from(source).where(*conditions)


def _behind(conn: Connection, query: EvaluationQuery) -> ColumnElement[bool]:
    """What comes after the row that the cursor names."""
    assert query.cursor is not None
    is_down = query.order == "desc"
    if query.sort == "started":
        (at,) = decode_cursor(query.cursor, 1)
        return _c.first_sequence < at if is_down else _c.first_sequence > at
    key = _KEYS[query.sort]
    stored, at = decode_cursor(query.cursor, 2)
    value: Any
    if query.sort in ("attempt", "elapsed"):
        value = literal(stored - 1, BigInteger())  # a cursor may have any number
    elif query.sort == "state":
        value = STATES[stored] if stored < len(STATES) else None
    else:  # of texts the cursor names the row, which keeps them
        value = conn.scalar(select(key).select_from(evaluations).where(_c.first_sequence == at))
    if value is None:
        raise CursorError(f"{query.cursor[:40]!r} names a place that this list does not have")
    beyond = key < value if is_down else key > value
    return or_(beyond, and_(key == value, _c.first_sequence < at))


def _cursor(sort: Sort, row: Any) -> str:
    if sort == "started":
        return encode_cursor(row.first_sequence)
    stored = 0
    if sort in ("attempt", "elapsed"):
        stored = row.sort_key + 1  # cursors have no negative numbers, and an unknown time is -1
    elif sort == "state":
        stored = STATES.index(row.sort_key)
    return encode_cursor(stored, row.first_sequence)


def _like(where: ColumnElement[Any], wanted: str, is_on_file: bool) -> ColumnElement[bool]:
    """Whether the column has the text somewhere, none of it a wildcard."""
    for special in ("\\", "%", "_"):
        wanted = wanted.replace(special, "\\" + special)
    pattern = f"%{wanted}%"
    return where.like(pattern, escape="\\") if is_on_file else where.ilike(pattern, escape="\\")
