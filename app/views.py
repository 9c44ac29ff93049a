"""Changing saved views: the API and the page call these, and each change is an event."""

from __future__ import annotations

from typing import Any

from app.followed import followed
from app.problems import ProblemError
from app.runtime import Runtime
from eventbus import Pattern
from eventbus.actor import signed
from eventbus.errors import FieldError, PatternError
from eventbus.validation import shown
from handlers.view import DELETED, MOST_VIEWS, RENAMED, SAVED, View, ViewHandler, name_problem


def save_view(parts: Runtime, name: Any, type: Any, by: str) -> View:
    """Give a filter a name, or the name another filter. Raises ProblemError."""
    errors = []
    if problem := name_problem(name):
        errors.append(FieldError("/name", f"{problem}; given was {shown(name)}"))
    try:
        type = Pattern(type if isinstance(type, str) else "").text
    except PatternError as error:
        errors.append(FieldError("/type", str(error)))
    if errors:
        raise _wrong(errors)
    views = parts.handlers.views
    if views.get(name) is None and len(views.all()) >= MOST_VIEWS:
        detail = f"there are {MOST_VIEWS} saved views, which is the most; delete one first"
        raise ProblemError(409, "Too many views", detail)
    _publish(parts, SAVED, {"name": name, "type": type, **signed(by)})
    return _found(parts, name)


def rename_view(parts: Runtime, name: Any, to: Any, by: str) -> View:
    """Give a view another name. Raises ProblemError."""
    view = _found(parts, name)
    if problem := name_problem(to):
        raise _wrong([FieldError("/to", f"{problem}; given was {shown(to)}")])
    if to == view.name:
        return view
    if parts.handlers.views.get(to) is not None:
        raise ProblemError(409, "Name is taken", f"there is a view called {to!r} already")
    _publish(parts, RENAMED, {"name": view.name, "to": to, **signed(by)})
    return _found(parts, to)


def delete_view(parts: Runtime, name: Any, by: str) -> View:
    """Forget a view; its last state is returned. Raises ProblemError."""
    view = _found(parts, name)
    _publish(parts, DELETED, {"name": view.name, **signed(by)})
    return view


def _publish(parts: Runtime, type: str, data: dict[str, Any]) -> None:
    followed(parts.bus.publish(type, data, subject=data["name"]), ViewHandler.name)


def _found(parts: Runtime, name: Any) -> View:
    view = parts.handlers.views.get(name) if isinstance(name, str) else None
    if view is None:
        raise ProblemError(404, "No such view", f"there is no saved view called {shown(name)}")
    return view


def _wrong(errors: list[FieldError]) -> ProblemError:
    detail = "; ".join(f"{each.pointer[1:]} {each.detail}" for each in errors)
    return ProblemError(400, "Wrong view", detail, errors)
