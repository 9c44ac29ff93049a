"""``POST /hooks/{name}``: checked, made an event, recorded; answered as a publish is."""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Flask, Response, request

from app.access.acts import ACTS, in_name_of, is_own
from app.access.guard import address_of_request
from app.api.shapes import answer
from app.hooks.hook import Hook, printable
from app.hooks.signatures import verify
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event
from eventbus.actor import MAX_NAME_CHARS, Actor
from eventbus.errors import JsonTextError
from eventbus.json_reader import read_json
from handlers.errors import SignatureError

COMMIT_TIMEOUT_S = 30.0
_FORM = "application/x-www-form-urlencoded"

log = logging.getLogger(__name__)

blueprint = Blueprint("hooks", __name__)


def register(app: Flask) -> None:
    """Add the route; without a configured hook it knows none."""
    app.register_blueprint(blueprint)


@blueprint.post("/hooks/<name>")
def take(name: str) -> Response:
    """Record a signed request as an event, once for each of the sender's ids.

    202, or 200 when it was recorded before. A ping of GitHub and a challenge of Slack are
    answered without an event.
    """
    parts = runtime()
    hook = next((hook for hook in parts.settings.hooks if hook.name == name), None)
    if hook is None:
        raise ProblemError(404, "Not Found", f"there is no hook {name[:40]!r}")
    request.max_content_length = hook.max_bytes or parts.settings.max_event_bytes
    body = request.get_data(cache=False)
    headers = {field.lower(): value for field, value in request.headers.items()}
    try:
        verify(hook, headers, body, time.time())
    except SignatureError as error:
        log.warning("hook %s: a request from %s is refused: %s", name, request.remote_addr, error)
        # Which part is wrong is in our log: an answer would teach whoever tries to forge one.
        raise ProblemError(401, "Unauthorized", "the signature is missing or wrong") from None
    payload = _payload(body)
    if hook.scheme == "github" and headers.get("x-github-event") == "ping":
        return answer({"pong": True})
    if hook.scheme == "slack" and payload.get("type") == "url_verification":
        return answer({"challenge": str(payload.get("challenge", ""))[:1_000]})
    event = _event(hook, headers, payload, parts.settings.max_event_bytes)
    if parts.access.is_guarded:
        event = _in_its_name(hook, event)
    receipt = parts.bus.publish_event(event)
    receipt.wait(COMMIT_TIMEOUT_S)
    found = {"id": receipt.event.id, "sequence": receipt.event.sequence}
    is_known = bool(receipt.duplicate)
    return answer({**found, "duplicate": is_known}, 200 if is_known else 202)


def _in_its_name(hook: Hook, event: Event) -> Event:
    """Whoever knows a hook's secret can name nobody as if they had done it here."""
    if is_own(event.type):
        raise ProblemError(403, "Forbidden", f"{event.type}: only the server itself publishes it")
    if event.type not in ACTS:
        return event
    claimed, own = event.data.get("by"), f"hook {hook.name}"
    name = f"{printable(claimed)[:MAX_NAME_CHARS]} ({own})" if isinstance(claimed, str) else own
    return in_name_of(event, Actor(name, address_of_request()))


def _payload(body: bytes) -> dict[str, Any]:
    """The body as an object; a form's ``payload`` (as GitHub sends it), or its fields."""
    text = body.decode("utf-8", "replace")
    if request.mimetype == _FORM:
        fields = _fields(text)
        if "payload" not in fields:
            return fields
        text = fields["payload"]
    try:
        value = read_json(text, is_strict=False) if text.strip() else {}
    except JsonTextError as error:
        detail = str(error)
        raise ProblemError(400, "Wrong body", f"the body {detail}",
                           [{"pointer": "", "detail": detail}]) from None  # fmt: skip
    return value if isinstance(value, dict) else {"payload": value}


def _fields(text: str) -> dict[str, Any]:
    try:
        return dict(reversed(parse_qsl(text, keep_blank_values=True, max_num_fields=1_000)))
    except ValueError as error:
        raise ProblemError(400, "Wrong body", f"the form {error}") from None


def _event(hook: Hook, headers: dict[str, str], payload: dict[str, Any], max_bytes: int) -> Event:
    id = None if hook.id is None else hook.id.find(headers, payload)
    subject = None if hook.subject is None else hook.subject.find(headers, payload)
    return Event.create(
        hook.type.filled(headers, payload),
        payload,
        id=None if id is None or not id.strip() else printable(id),
        source=hook.source,
        subject=hook.name if subject is None or not subject.strip() else printable(subject),
        max_bytes=max_bytes,
    )
