"""The menu of saved views on the live page, and its forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from app.pages.frame import is_htmx, with_query
from app.problems import ProblemError
from app.runtime import runtime
from app.views import delete_view, rename_view, save_view
from handlers.view import MAX_NAME_CHARS, View

WHO = "dashboard"  # there is no login yet, so the screen is as much as is known

blueprint = Blueprint("views_page", __name__)

Answer = str | AnyResponse | tuple[str, int]


def menu_context(current: str | None = None, pattern: str = "") -> dict[str, Any]:
    """What ``live/_views.html`` is rendered with; ``pattern`` is the filter that could be saved."""
    return {
        "views": runtime().handlers.views.all(),
        "view": current,
        "pattern": pattern,
        "most_name_chars": MAX_NAME_CHARS,
    }


@blueprint.get("/views")
def menu() -> str:
    """The menu as it is now; others may have changed it."""
    return _menu()


@blueprint.post("/views")
def save() -> Answer:
    """Save the filter under a name, then show it by that name."""
    form = request.form
    return _done(lambda: save_view(runtime(), form.get("name", "").strip(), form.get("type"), WHO))


@blueprint.post("/views/rename")
def rename() -> Answer:
    """Rename, then show it by its new name."""
    form = request.form
    return _done(lambda: rename_view(runtime(), form.get("name"), form.get("to", "").strip(), WHO))


@blueprint.post("/views/delete")
def delete() -> Answer:
    """Delete; who looks at it keeps its filter."""
    try:
        view = delete_view(runtime(), request.form.get("name"), WHO)
    except ProblemError as problem:
        return _refused(problem)
    if request.form.get("view") == view.name:
        return _go(with_query("/", type=view.type))
    return _menu() if is_htmx() else _go("/")


def _done(change: Callable[[], View]) -> Answer:
    try:
        view = change()
    except ProblemError as problem:
        return _refused(problem)
    return _go(with_query("/", view=view.name))


def _go(path: str) -> AnyResponse:
    if is_htmx():
        return Response(status=204, headers={"HX-Redirect": path})
    return redirect(path, 303)


def _refused(problem: ProblemError) -> Answer:
    if not is_htmx():
        raise problem
    return _menu(problem.detail), problem.status


def _menu(error: str | None = None) -> str:
    values = request.values
    context = menu_context(values.get("view") or None, values.get("type", ""))
    return render_template("live/_views.html", **context, error=error)
