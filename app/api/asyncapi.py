"""The event types as a document for tools: GET /asyncapi.json."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, request

from app.api.shapes import answer
from app.catalogue.asyncapi import AsyncApi
from app.openapi.operation import operation
from app.runtime import runtime

_KEY = "asyncapi"

blueprint = Blueprint("asyncapi", __name__)


@blueprint.get("/asyncapi.json")
@operation("getEventTypes", "Types", answers={200: dict[str, Any]})
def asyncapi() -> Response:
    """The event types, declared and seen, as an AsyncAPI 3.0 document.

    Types without a declared schema have one that was read off recorded payloads (`x-inferred`).
    """
    parts = runtime()
    base_url = parts.settings.public_url or request.host_url.rstrip("/")
    maker: AsyncApi = current_app.extensions.setdefault(_KEY, AsyncApi())
    return answer(maker.document(parts, base_url))
