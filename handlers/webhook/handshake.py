"""The question to an endpoint, before a webhook is made, whether it wants our events.

CloudEvents 1.0, HTTP 1.1 Web Hooks for Event Delivery, §4 (abuse protection).
"""

from __future__ import annotations

from eventbus.validation import shown
from handlers import http_post
from handlers.addresses import AddressPolicy
from handlers.errors import PostError, WebhookError

ORIGIN_HEADER = "WebHook-Request-Origin"
_ALLOWED = "webhook-allowed-origin"


def check_consent(url: str, origin: str, timeout_s: float, policy: AddressPolicy) -> None:
    """Ask by ``OPTIONS``. Blocks; raises WebhookError unless ``origin`` (a host) may send there.

    The status is no answer: an endpoint that knows nothing of this has one, too (§4.2).
    """
    try:
        answer = http_post.post(
            url, None, {ORIGIN_HEADER: origin}, timeout_s, method="OPTIONS", policy=policy
        )
    except PostError as error:
        raise WebhookError(f"was asked and did not answer: {error}") from None
    allowed = answer.headers.get(_ALLOWED)
    if allowed is None:
        raise WebhookError(
            f"was asked and does not say that {origin} may send: it answered "
            f"{answer.status_line} without WebHook-Allowed-Origin"
        )
    if allowed.strip() != "*" and allowed.strip().lower() != origin.lower():
        raise WebhookError(f"was asked and allows {shown(allowed)}, not {origin}")
