"""Shapes made of others: with more members, with fewer, one of several."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict, get_type_hints


class OneOf:
    """A shape that is one of ``shapes``, for what a union of types cannot say to msgspec."""

    shapes: ClassVar[tuple[Any, ...]] = ()


def extended(
    name: str, about: str, base: type, *, without: tuple[str, ...] = (), **members: Any
) -> Any:
    """The members of the dataclass or TypedDict ``base`` and these, as a type ``name``."""
    hints = get_type_hints(base, include_extras=True)
    kept = {member: hint for member, hint in hints.items() if member not in without}
    shape = TypedDict(name, {**kept, **members})  # type: ignore[misc]
    shape.__doc__ = about
    return shape
