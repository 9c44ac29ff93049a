"""Whether a request is signed by whoever knows the hook's secret, and is not an old one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from app.hooks.hook import Hook
from handlers.errors import SignatureError
from handlers.standard_webhooks import check_time, is_any_equal
from handlers.standard_webhooks import verify as verify_standard

# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
_GITHUB = "x-hub-signature-256"
# https://docs.slack.dev/authentication/verifying-requests-from-slack
_SLACK, _SLACK_TIME = "x-slack-signature", "x-slack-request-timestamp"


def verify(hook: Hook, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Raises SignatureError, whose text is for our log alone. ``headers`` are in lower case."""
    if hook.scheme == "standard":
        verify_standard(hook.secrets, headers, body, now_s, hook.tolerance_s)
    elif hook.scheme == "github":
        _check(hook, headers, _GITHUB, "sha256=", body)
    elif hook.scheme == "slack":
        time = headers.get(_SLACK_TIME, "")
        check_time(time, now_s, hook.tolerance_s)
        _check(hook, headers, _SLACK, "v0=", f"v0:{time}:".encode() + body)
    elif hook.timestamp_header is not None:
        time = headers.get(hook.timestamp_header, "")
        check_time(time, now_s, hook.tolerance_s)
        _check(hook, headers, hook.signature_header, hook.signature_prefix,
               f"{time}.".encode() + body)  # fmt: skip
    else:
        _check(hook, headers, hook.signature_header, hook.signature_prefix, body)


def _check(hook: Hook, headers: Mapping[str, str], header: str, prefix: str, signed: bytes) -> None:
    given = headers.get(header, "")
    if not given:
        raise SignatureError(f"the header {header} is missing")
    expected = []
    for secret in hook.secrets:
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        is_hex = hook.scheme != "hmac" or hook.encoding == "hex"
        shown = digest.hex() if is_hex else base64.b64encode(digest).decode()
        expected.append(prefix + shown)
    if not is_any_equal(expected, [given]):
        raise SignatureError("the signature is wrong")
