"""One webhook's handler: sends an event as a signed CloudEvent, and says what came of it."""

from __future__ import annotations

import email.utils
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from eventbus import Event
from eventbus.cloudevents import STRUCTURED_CONTENT_TYPE, encode
from eventbus.extensions import as_text
from eventbus.timestamps import format_time
from eventbus.validation import JSON_CONTENT_TYPE
from handlers import http_post
from handlers.addresses import AddressPolicy
from handlers.errors import PostError, WebhookBusyError, WebhookError
from handlers.http_post import HttpAnswer
from handlers.standard_webhooks import key_of, signed_headers
from handlers.webhook.handshake import ORIGIN_HEADER
from handlers.webhook.webhook import Webhook

GONE = 410
_BUSY = frozenset({429, 503})  # whose Retry-After is about this client (RFC 9110 §10.2.3)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WHOLE = re.compile(r"[0-9]{1,9}")
# HTTP binding 1.0.2 §3.1.3.2: printable ASCII but for the double quote and the percent sign.
_IN_HEADER = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that was taken: what was answered, and in how many milliseconds."""

    answer: str
    duration_ms: float


class WebhookDelivery:
    """Called in threads of the bus, ``concurrency`` at a time; ``webhook`` may be replaced."""

    def __init__(
        self,
        webhook: Webhook,
        policy: AddressPolicy,
        pause: Callable[[Webhook, str], None],
        origin: str = "",
    ) -> None:
        """``pause`` is called with the webhook and a reason when its endpoint is gone.

        ``origin`` is the host that we send as, if it has a name.
        """
        self.webhook = webhook
        self._policy = policy
        self._pause = pause
        self._named = {ORIGIN_HEADER: origin} if origin else {}

    def handle(self, event: Event) -> None:
        """Raises WebhookError for another attempt."""
        self.send(event)

    def send(self, event: Event) -> Sent:
        """Send one event now. Raises WebhookError."""
        webhook = self.webhook
        started = time.monotonic()
        body, headers = _message(webhook, event)
        headers |= self._named
        try:
            answer = http_post.post(
                webhook.url, body, headers, webhook.timeout_s, policy=self._policy
            )
        except PostError as error:
            raise WebhookError(_without(str(error), webhook)) from None
        if 200 <= answer.status < 300:
            return Sent(answer.status_line, round((time.monotonic() - started) * 1000, 3))
        raise self._failure(webhook, answer)

    def _failure(self, webhook: Webhook, answer: HttpAnswer) -> WebhookError:
        what = _without(answer.shown, webhook)
        if answer.status == GONE:
            # "Gone" is how an endpoint says that it wants no more (Standard Webhooks, "Responses").
            self._pause(webhook, f"{answer.host} answered {answer.status_line}: it wants no more")
            return WebhookError(what)
        if 300 <= answer.status < 400:
            return WebhookError(f"{what}: redirects are not followed; change the URL")
        after_s = _retry_after_s(answer.headers.get("retry-after", ""), datetime.now(UTC))
        if answer.status in _BUSY and after_s > 0:
            return WebhookBusyError(f"{what} (Retry-After {after_s:.0f} s)", after_s)
        return WebhookError(what)


def message_id(event: Event) -> str:
    """``webhook-id``: the same for every attempt at an event, and another one's for no other."""
    if _ID.fullmatch(event.id):
        return event.id
    return hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()


def _message(webhook: Webhook, event: Event) -> tuple[bytes, dict[str, str]]:
    now = datetime.now(UTC)
    if webhook.mode == "binary":
        body, headers = event.data_json.encode(), {"Content-Type": JSON_CONTENT_TYPE}
        for name, value in _attributes(event).items():
            headers[f"ce-{name}"] = quote(value, safe=_IN_HEADER)
    else:
        body, headers = encode(event), {"Content-Type": f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8"}
    keys = [key_of(secret) for secret in webhook.secrets_at(now)]
    signed = signed_headers(keys, message_id(event), int(now.timestamp()), body)
    return body, {**headers, **signed}


def _attributes(event: Event) -> dict[str, str]:
    found = {
        "specversion": "1.0", "id": event.id, "source": event.source, "type": event.type,
        "subject": event.subject, "time": format_time(event.time),
        "correlationid": event.correlationid, "causationid": event.causationid,
        "traceparent": event.traceparent, "dataschema": event.dataschema,
        "sequence": None if event.sequence is None else str(event.sequence),
    }  # fmt: skip
    known = {name: value for name, value in found.items() if value is not None}
    return known | {name: as_text(value) for name, value in event.extensions.items()}


def _retry_after_s(text: str, now: datetime) -> float:
    """RFC 9110 §10.2.3: seconds, or a date; 0 for neither."""
    if _WHOLE.fullmatch(text.strip()):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _without(text: str, webhook: Webhook) -> str:
    """``text`` without what an answer may repeat of a URL's token or of a secret."""
    path = webhook.url.split("/", 3)[-1]
    secrets = [webhook.url, path, path.rpartition("/")[2], webhook.secret, webhook.previous_secret]
    for secret in secrets:
        if secret and len(secret) >= 8:
            text = text.replace(secret, "***")
    return text
