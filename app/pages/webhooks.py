"""The page of outgoing webhooks: how each does, a new one, a test, another secret, an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, make_response, request
from werkzeug.wrappers import Response

from app.pages.frame import back_to, render
from app.pages.who import who
from app.problems import ProblemError
from app.runtime import runtime
from app.webhooks import create_webhook, delete_webhook, rotate_webhook, test_webhook
from eventbus import Event, Pattern
from eventbus.log import EventQuery
from eventbus.statistics import SubscriptionStats
from handlers.webhook import Webhook
from handlers.webhook.webhook import MODES
from handlers.webhook.webhooks import TESTED

_FRESH = timedelta(minutes=1)
_PATH = "/webhooks"
_FIELDS = ("name", "pattern", "url", "mode")

blueprint = Blueprint("webhooks_page", __name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A webhook, its subscription now, and the outcome of a test just now."""

    webhook: Webhook
    stats: SubscriptionStats | None
    test: Event | None


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a new one, as it was sent, with what is wrong by field."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, list[str]] = field(default_factory=dict)


@blueprint.get("/webhooks")
def webhooks() -> str:
    """Every webhook, and the form of a new one."""
    return _page(Form())


@blueprint.post("/webhooks")
def change() -> str | Response:
    """Create, test, rotate or delete, as ``do`` says; a new secret is on the page this once."""
    do, name = request.form.get("do", "create"), request.form.get("name", "")
    if do == "create":
        return _create()
    if do == "rotate":
        return _secret_page(rotate_webhook(runtime(), name, None, who()), "has a new secret")
    if do == "delete":
        delete_webhook(runtime(), name, who())
    elif do == "test":
        try:
            test_webhook(runtime(), name, who())
        except ProblemError as problem:
            if problem.status != 502:  # that one is recorded, and shown from there
                raise
    else:
        raise ProblemError(400, "Wrong form", f"there is no action {do[:40]!r}")
    return back_to(_PATH)


def _create() -> Response:
    values = {name: request.form.get(name, "").strip() for name in _FIELDS}
    asks = request.form.get("handshake") == "yes"
    try:
        made = create_webhook(runtime(), {**values, "handshake": asks}, who())
    except ProblemError as problem:
        errors: dict[str, list[str]] = {}
        for each in problem.errors:
            errors.setdefault(each["pointer"][1:], []).append(each["detail"])
        values["handshake"] = "yes" if asks else ""
        return make_response(_page(Form(values, errors or {"name": [problem.detail]})), 422)
    return _secret_page(made, "is made")


def _secret_page(webhook: Webhook, what: str) -> Response:
    response = make_response(_page(Form(), secret=webhook.secret, of=webhook.name, what=what))
    response.headers["Cache-Control"] = "no-store"
    return response


def _page(form: Form, **more: Any) -> str:
    bus = runtime().bus
    stats = {each.name: each for each in bus.subscriptions()}
    rows = [
        Row(webhook, stats.get(webhook.subscription), _fresh_test(webhook))
        for webhook in runtime().webhooks.all()
    ]
    return render("webhooks.html", "handlers", rows=rows, form=form, modes=MODES, **more)


def _fresh_test(webhook: Webhook) -> Event | None:
    query = EventQuery(pattern=Pattern(TESTED), subject=webhook.subscription, limit=1)
    found = next(iter(runtime().bus.log.query(query).events), None)
    return found if found is not None and datetime.now(UTC) - found.time < _FRESH else None
