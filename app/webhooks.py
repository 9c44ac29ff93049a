"""Changing outgoing webhooks: the API and the page call these, and each change is an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.problems import ProblemError
from app.runtime import Runtime
from eventbus.errors import EventValidationError, FieldError, SubscriptionError
from eventbus.statistics import SubscriptionStats
from eventbus.validation import shown
from handlers.errors import WebhookError
from handlers.webhook import Webhook, read_changes, read_terms
from handlers.webhook.table import MOST_WEBHOOKS
from handlers.webhook.webhooks import KEEP_OLD_SECRET_S

MAX_KEEP_S = 30 * 86_400.0


def states(parts: Runtime) -> list[dict[str, Any]]:
    """Every webhook with how it does, by name."""
    stats = {each.name: each for each in parts.bus.subscriptions()}
    return [_state(each, stats.get(each.subscription)) for each in parts.webhooks.all()]


def state(parts: Runtime, webhook: Webhook) -> dict[str, Any]:
    """One webhook with how it does, without anything secret."""
    stats = {each.name: each for each in parts.bus.subscriptions()}
    return _state(webhook, stats.get(webhook.subscription))


def found(parts: Runtime, name: str) -> Webhook:
    """A webhook by its name; raises the 404."""
    webhook = parts.webhooks.get(name)
    if webhook is None:
        raise ProblemError(404, "Not Found", f"there is no webhook {shown(name)}")
    return webhook


def create_webhook(parts: Runtime, body: Mapping[str, Any], by: str) -> Webhook:
    """A new webhook. Raises ProblemError."""
    try:
        made = parts.webhooks.create(read_terms(body), by)
    except EventValidationError as error:
        raise _wrong(error) from None
    except WebhookError as error:
        raise _wrong(EventValidationError([FieldError("/url", str(error))])) from None
    except SubscriptionError as error:
        raise ProblemError(409, "Name is taken", str(error)) from None
    if made is not None:
        return made
    if len(parts.webhooks.all()) >= MOST_WEBHOOKS:
        detail = f"there are {MOST_WEBHOOKS} webhooks, which is the most; delete one first"
        raise ProblemError(409, "Too many webhooks", detail)
    raise ProblemError(409, "Name is taken", f"there is a webhook {shown(body['name'])} already")


def change_webhook(parts: Runtime, name: str, body: Mapping[str, Any], by: str) -> Webhook:
    """Change what ``body`` names. Raises ProblemError."""
    found(parts, name)
    try:
        changed = parts.webhooks.change(name, read_changes(body), by)
    except EventValidationError as error:
        raise _wrong(error) from None
    except WebhookError as error:
        raise _wrong(EventValidationError([FieldError("/url", str(error))])) from None
    except SubscriptionError as error:
        raise ProblemError(409, "Conflict", str(error)) from None
    return changed or found(parts, name)


def rotate_webhook(parts: Runtime, name: str, keep_s: Any, by: str) -> Webhook:
    """A new secret; None for ``keep_s`` (seconds) is a day. Raises ProblemError."""
    found(parts, name)
    wanted = KEEP_OLD_SECRET_S if keep_s is None else keep_s
    is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if not is_number or not 0 <= wanted <= MAX_KEEP_S:
        detail = f"must be seconds from 0 to {MAX_KEEP_S:.0f}, not {shown(keep_s)}"
        raise _wrong(EventValidationError([FieldError("/keep_s", detail)]))
    return parts.webhooks.rotate(name, by, float(wanted)) or found(parts, name)


def delete_webhook(parts: Runtime, name: str, by: str) -> dict[str, Any]:
    """End it; its last state. Raises ProblemError."""
    last = state(parts, found(parts, name))
    if parts.webhooks.delete(name, by) is None:
        found(parts, name)  # somebody was faster
    return last


def test_webhook(parts: Runtime, name: str, by: str) -> dict[str, Any]:
    """Send a test now: what was answered, and how fast. Raises ProblemError."""
    found(parts, name)
    try:
        sent = parts.webhooks.test(name, by)
    except WebhookError as error:
        raise ProblemError(502, "Not taken", str(error)) from None
    if sent is None:
        raise ProblemError(404, "Not Found", f"there is no webhook {shown(name)}")
    return {"answer": sent.answer, "duration_ms": sent.duration_ms}


def _state(webhook: Webhook, stats: SubscriptionStats | None) -> dict[str, Any]:
    return {
        "name": webhook.name,
        "pattern": webhook.pattern,
        "url": webhook.shown_url,
        "mode": webhook.mode,
        "timeout_s": webhook.timeout_s,
        "max_attempts": webhook.max_attempts,
        "concurrency": webhook.concurrency,
        "subscription": webhook.subscription,
        "previous_secret_until": webhook.previous_until,
        "created_at": webhook.created_at,
        "created_by": webhook.created_by,
        "changed_at": webhook.changed_at,
        "state": "unserved" if stats is None else stats.state,
        "pause_reason": None if stats is None else stats.pause_reason,
        "lag": 0 if stats is None else stats.lag,
        "retrying": 0 if stats is None else stats.retrying,
        "dead": 0 if stats is None else stats.dead,
    }


def _wrong(error: EventValidationError) -> ProblemError:
    detail = "; ".join(f"{each.pointer[1:]} {each.detail}" for each in error.errors)
    return ProblemError(400, "Wrong webhook", detail, error.errors)
