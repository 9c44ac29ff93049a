"""A page of a read model's list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """``items`` in the list's order; ``next`` is the cursor that continues it, None at the end."""

    items: list[T]
    next: str | None
