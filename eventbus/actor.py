"""Who acts: a name that also knows where it asked from, for the audit trail."""

from __future__ import annotations

from typing import Any

from eventbus.errors import ActorError
from eventbus.validation import shown

MAX_NAME_CHARS = 100


class Actor(str):
    """The name of a person or program, as it stands in ``by`` of the events of what they did.

    It is text, so that it goes wherever a name does; ``address`` is the network address that they
    asked from, None when it is not known.
    """

    __slots__ = ("address",)

    address: str | None

    def __new__(cls, name: str, address: str | None = None) -> Actor:
        actor = super().__new__(cls, name)
        actor.address = address
        return actor


def name_problem(value: Any) -> str | None:
    """What is wrong with a name that somebody gives for who acts; None when nothing is."""
    if _names_somebody(value) and len(value) <= MAX_NAME_CHARS:
        return None
    return f"must be 1 to {MAX_NAME_CHARS} printable characters, not {shown(value)}"


def check_actor(by: str) -> str:
    """The same name. Raises ActorError for what names nobody."""
    if not _names_somebody(by):
        raise ActorError(f"by must name who does it, in printable characters, not {shown(by)}")
    return by


def _names_somebody(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def signed(by: str) -> dict[str, str]:
    """The members of an event's data that tell who did it, and from where if that is known."""
    address = by.address if isinstance(by, Actor) else None
    return {"by": str(by)} if address is None else {"by": str(by), "from": address}
