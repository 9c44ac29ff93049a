"""Insert or else update, as one statement for every database, and what such statements need.

SQLAlchemy has this for each dialect, in the same words; its construct for PostgreSQL is one that
SQLite's compiler takes too, as long as the columns of the conflict are named.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case
from sqlalchemy.dialects.postgresql import insert as upsert

__all__ = ["larger", "upsert"]


def larger(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """The larger of two values that are there, which each database calls by another name."""
    return case((one < other, other), else_=one)
