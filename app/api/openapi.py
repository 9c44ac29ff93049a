"""The API's own description: GET /openapi.json."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, request

from app.api.shapes import raw
from app.openapi.operation import operation

_KEY = "openapi"

blueprint = Blueprint("openapi", __name__)


@dataclass(frozen=True, slots=True)
class Described:
    """The document, and its text with the tag that tells whether it has changed."""

    document: dict[str, Any]
    text: str
    etag: str


@blueprint.get("/openapi.json")
@operation("getDocument", "Health", answers={200: dict[str, Any], 304: None})
def openapi() -> Response:
    """This document: OpenAPI 3.1, generated from the code."""
    found = described()
    response = raw(found.text)
    response.set_etag(found.etag)
    return response.make_conditional(request)


def described() -> Described:
    """The document of the running app, made when it is first asked for."""
    found: Described | None = current_app.extensions.get(_KEY)
    if found is None:
        # Here, as a server whose API nobody looks up needs neither the time nor the libraries.
        from app.openapi.document import document

        made = document(current_app)
        text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
        found = Described(made, text, hashlib.sha256(text.encode()).hexdigest()[:32])
        current_app.extensions[_KEY] = found
    return found
