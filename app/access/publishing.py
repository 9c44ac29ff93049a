"""What the current request may publish or take back from outside, and in whose name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.access.acts import ACTS, in_name_of, is_own
from app.access.audit import AUDIT_TYPES
from app.access.guard import actor, principal
from app.access.principal import Principal
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event
from eventbus.actor import Actor, name_problem
from eventbus.errors import EventValidationError, FieldError
from eventbus.validation import shown


def check_types(events: Iterable[Event]) -> None:
    """Raise the 403 for a type that is the server's own, or outside of the token's pattern."""
    known = principal()
    for event in events:
        if event.type in AUDIT_TYPES or (_is_known(known) and is_own(event.type)):
            raise _refused(event.type, "/type", "only the server itself publishes it")
        if known.pattern is not None and not known.pattern.matches(event.type):
            why = f"the token is for the types {known.pattern.text} alone"
            raise _refused(event.type, "/type", why)


def check_cancel(id: str, source: str | None) -> None:
    """Raise the 403 where what is scheduled under an id is outside of the token's pattern."""
    pattern = principal().pattern
    if pattern is None:
        return
    found = runtime().bus.log.schedules.find(id, source)
    if not all(pattern.matches(event.type) for event in found):
        # Not of which type it is: the token may not read.
        why = f"the token is for the types {pattern.text} alone, and this is of another"
        raise ProblemError(
            403, "Forbidden", f"{id[:100]}: {why}; nothing was cancelled", [FieldError("/id", why)]
        )


def in_own_name(events: Sequence[Event], *, is_batch: bool = False) -> list[Event]:
    """The events, those that tell what somebody did in the name of who sends them.

    Where nobody has to sign in they are left as they are: there a name is all that is known.
    Raises the 403 for one that names somebody else, and EventValidationError for no name.
    """
    known = principal()
    if not _is_known(known):
        return list(events)
    return [
        in_name_of(event, _sender(known, event, f"/{index}" if is_batch else ""))
        if event.type in ACTS
        else event
        for index, event in enumerate(events)
    ]


def _is_known(known: Principal) -> bool:
    return known.kind not in ("everybody", "nobody")


def _sender(known: Principal, event: Event, where: str) -> Actor:
    claimed: Any = event.data.get("by")
    if claimed is None or claimed == "":
        return actor("")
    if known.kind == "user":
        if claimed != known.name:
            raise _refused(
                event.type, f"{where}/data/by",
                f"names {shown(claimed)}, and {known.name!r} is who sends it; leave it out",
            )  # fmt: skip
        return actor("")
    if (problem := name_problem(claimed)) is not None:
        raise EventValidationError.of(f"{where}/data/by", problem)
    own = f" ({known.shown})"  # it stands there already in an event that is sent again
    return actor("" if claimed == known.shown else claimed.removesuffix(own))


def _refused(type: str, pointer: str, why: str) -> ProblemError:
    detail = f"{type}: {why}; nothing was recorded"
    return ProblemError(403, "Forbidden", detail, [FieldError(pointer, why)])
