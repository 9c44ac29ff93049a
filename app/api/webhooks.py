"""Outgoing webhooks: made, changed, rotated, tested and ended; each change is an audit event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.webhooks import Webhook, Webhooks, WebhookTested, WebhookWithSecret
from app.api.common import BY
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.runtime import runtime
from app.webhooks import (
    MAX_KEEP_S,
    change_webhook,
    create_webhook,
    delete_webhook,
    found,
    rotate_webhook,
    state,
    states,
    test_webhook,
)
from handlers.webhook import terms
from handlers.webhook.webhook import MODES

_TAG = "Webhooks"


def _field(name: str, schema: dict[str, Any], about: str, **more: Any) -> Field:
    """A member that ``handlers.webhook.terms`` reads."""
    return Field(name, kinds.unread(schema), about, **more)


_NAME = _field(
    "name", {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
    "What it is called; its subscription is `webhook-` and this.", is_needed=True, example="shop",
)  # fmt: skip
_PATTERN = _field(
    "pattern", kinds.pattern().schema, "Which events go out.", is_needed=True, example="order.*"
)
_URL = _field(
    "url", {"type": "string", "pattern": "^https?://[!-~]+$", "maxLength": 2000},
    "Where to; never told again but for its host.", is_needed=True,
    example="https://shop.example.org/hooks/orders",
)  # fmt: skip
_OPTIONS = (
    _field(
        "mode", {"type": "string", "enum": list(MODES)},
        "How the CloudEvent is written; `structured` when it is left out.", example="structured",
    ),
    _field(
        "timeout_s", {"type": "number", "minimum": 1, "maximum": terms.MAX_TIMEOUT_S},
        f"How long an answer may take; {terms.DEFAULT_TIMEOUT_S:g} when it is left out.",
    ),
    _field(
        "max_attempts", {"type": "integer", "minimum": 1, "maximum": terms.MAX_ATTEMPTS},
        f"Attempts before a dead letter; {terms.DEFAULT_MAX_ATTEMPTS} when it is left out.",
    ),
    _field(
        "concurrency", {"type": "integer", "minimum": 1, "maximum": terms.MAX_CONCURRENCY},
        f"Requests at a time, of one subject one; {terms.DEFAULT_CONCURRENCY} when left out.",
    ),
    _field(
        "handshake", {"type": "boolean"},
        "Ask the URL first by `OPTIONS` whether it wants events (CloudEvents, webhooks, §4); "
        "without its consent nothing is changed.",
    ),
)  # fmt: skip
_SECRET = _field(
    "secret", {"type": "string"},
    "`whsec_` and 24 to 64 bytes in base64; a random one when it is left out.",
)  # fmt: skip
_EXAMPLE = {"name": "shop", "pattern": "order.*", "url": "https://shop.example.org/hooks/orders"}
_NEW = Body((_NAME, _PATTERN, _URL, *_OPTIONS, _SECRET, BY), {"a shop": _EXAMPLE}, is_needed=True)
_CHANGE = Body(
    (replace(_PATTERN, is_needed=False), replace(_URL, is_needed=False), *_OPTIONS, BY),
    {"another pattern": {"pattern": "order.placed", "by": "ann"}},
)
_ROTATE = Body(
    (
        _field(
            "keep_s", {"type": "number", "minimum": 0, "maximum": MAX_KEEP_S},
            "For how long the old secret signs as well; a day when it is left out.",
        ),
        BY,
    ),
    {"at once": {"keep_s": 0}},
)  # fmt: skip
_BY = Body((BY,), {"with a name": {"by": "ann"}})
_PATH = (Field("name", kinds.text(), "The name of a webhook.", example="shop"),)
_UNKNOWN = {404: "No webhook has this name."}

blueprint = Blueprint("webhooks", __name__)


@blueprint.get("/webhooks")
@operation("listWebhooks", _TAG, answers={200: Webhooks})
def webhooks() -> Response:
    """Every webhook, by name, with how it does; secrets and the paths of URLs are not told."""
    return answer({"webhooks": states(runtime())})


@blueprint.post("/webhooks")
@operation(
    "createWebhook", _TAG, body=_NEW, answers={201: WebhookWithSecret},
    problems={409: "The name is taken, or there are too many."},
)  # fmt: skip
def create() -> Response:
    """Send every event that matches a pattern to a URL; the answer has the secret, this once."""
    body = _NEW.read()
    made = create_webhook(runtime(), body, by(body)["by"])
    return answer({**state(runtime(), made), "secret": made.secret}, 201)


@blueprint.get("/webhooks/<name>")
@operation("getWebhook", _TAG, path=_PATH, answers={200: Webhook}, problems=_UNKNOWN)
def webhook(name: str) -> Response:
    """One webhook."""
    return answer(state(runtime(), found(runtime(), name)))


@blueprint.patch("/webhooks/<name>")
@operation(
    "changeWebhook", _TAG, path=_PATH, body=_CHANGE, answers={200: Webhook},
    problems={**_UNKNOWN, 409: "It cannot be changed now."},
)  # fmt: skip
def change(name: str) -> Response:
    """Change what the body names; what waits goes by the new terms."""
    body = _CHANGE.read()
    return answer(state(runtime(), change_webhook(runtime(), name, body, by(body)["by"])))


@blueprint.delete("/webhooks/<name>")
@operation("deleteWebhook", _TAG, path=_PATH, body=_BY, answers={200: Webhook}, problems=_UNKNOWN)
def delete(name: str) -> Response:
    """End it: what was not delivered is cancelled, dead letters stay; the answer is its end."""
    return answer(delete_webhook(runtime(), name, by(_BY.read())["by"]))


@blueprint.post("/webhooks/<name>/rotate")
@operation(
    "rotateWebhookSecret", _TAG, path=_PATH, body=_ROTATE, answers={200: WebhookWithSecret},
    problems=_UNKNOWN,
)  # fmt: skip
def rotate(name: str) -> Response:
    """A new secret, told this once; the old one signs beside it for a while."""
    body = _ROTATE.read()
    made = rotate_webhook(runtime(), name, body["keep_s"], by(body)["by"])
    return answer({**state(runtime(), made), "secret": made.secret})


@blueprint.post("/webhooks/<name>/test")
@operation(
    "testWebhook", _TAG, path=_PATH, body=_BY, answers={200: WebhookTested},
    problems={**_UNKNOWN, 502: "The test was not taken; the detail says why."},
)  # fmt: skip
def test(name: str) -> Response:
    """Send a test event now, past what waits."""
    return answer(test_webhook(runtime(), name, by(_BY.read())["by"]))
