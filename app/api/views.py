"""Saved views: names for filters that everybody shares."""

from __future__ import annotations

from flask import Blueprint, Response

from app.access.guard import actor
from app.api.answers.system import Views
from app.api.common import TYPE
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.runtime import runtime
from app.views import delete_view, rename_view, save_view
from handlers.view import MAX_NAME_CHARS, View

WHO = "api"

_TAG = "Saved views"
_NAME = Field(
    "name", kinds.name(MAX_NAME_CHARS), "The view's name.", is_needed=True, example="failures"
)
_TO = Field("to", kinds.name(MAX_NAME_CHARS), "Its new name.", is_needed=True, example="failed")
_FILTER = Field(
    "type", TYPE.kind, "The pattern that it stands for.", is_needed=True, example="*.failed"
)
_SAVE = Body(
    (_NAME, _FILTER), {"failures": {"name": "failures", "type": "*.failed"}}, is_needed=True
)
_RENAME = Body((_NAME, _TO), {"another name": {"name": "failures", "to": "failed"}}, is_needed=True)
_DELETE = Body((_NAME,), {"failures": {"name": "failures"}}, is_needed=True)
_UNKNOWN = {404: "No view has this name."}

blueprint = Blueprint("views", __name__)


@blueprint.get("/views")
@operation("listViews", _TAG, answers={200: Views})
def views() -> Response:
    """All of them, by name; there are at most 50."""
    return answer({"views": runtime().handlers.views.all()})


@blueprint.post("/views")
@operation("saveView", _TAG, body=_SAVE, answers={200: View}, problems={409: "There are too many."})
def save() -> Response:
    """A new view, or another filter for one that exists."""
    body = _SAVE.read()
    return answer(save_view(runtime(), body["name"], body["type"].text, actor(WHO)))


@blueprint.post("/views/rename")
@operation(
    "renameView", _TAG, body=_RENAME, answers={200: View},
    problems={**_UNKNOWN, 409: "The new name is taken."},
)  # fmt: skip
def rename() -> Response:
    """Give a view another name."""
    body = _RENAME.read()
    return answer(rename_view(runtime(), body["name"], body["to"], actor(WHO)))


@blueprint.post("/views/delete")
@operation("deleteView", _TAG, body=_DELETE, answers={200: View}, problems=_UNKNOWN)
def delete() -> Response:
    """Forget a view; the answer is the view as it was."""
    body = _DELETE.read()
    return answer(delete_view(runtime(), body["name"], actor(WHO)))
