"""Saved views: names for filters that everybody shares."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import parameters
from app.api.shapes import answer
from app.runtime import runtime
from app.views import delete_view, rename_view, save_view

WHO = "api"

blueprint = Blueprint("views", __name__)


@blueprint.get("/views")
def views() -> Response:
    """All of them, by name; there are at most 50."""
    return answer({"views": runtime().handlers.views.all()})


@blueprint.post("/views")
def save() -> Response:
    """``{"name", "type"}``: a new view, or another filter for one that exists."""
    body = parameters.body_object()
    return answer(save_view(runtime(), body.get("name"), body.get("type"), WHO))


@blueprint.post("/views/rename")
def rename() -> Response:
    """``{"name", "to"}``."""
    body = parameters.body_object()
    return answer(rename_view(runtime(), body.get("name"), body.get("to"), WHO))


@blueprint.post("/views/delete")
def delete() -> Response:
    """``{"name"}``; the answer is the view as it was."""
    body = parameters.body_object()
    return answer(delete_view(runtime(), body.get("name"), WHO))
