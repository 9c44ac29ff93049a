"""What members of the API look like in practice: examples are made of it where a schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ID = "01a20b7f-db96-7cbd-8ddc-632e8da74f8a"

TYPICAL: Mapping[str, tuple[Any, ...]] = {
    "id": (_ID,),
    "event_id": (_ID,),
    "correlationid": (_ID,),
    "causationid": (_ID,),
    "traceparent": ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    "source": ("/my-runner",),
    "type": ("evaluation.started",),
    "event_type": ("evaluation.started",),
    "subject": ("eval-42",),
    "eval_id": ("eval-42",),
    "sequence": (42,),
    "last_sequence": (42,),
    "position": (42,),
    "upto": (42,),
    "data": ({"eval_id": "eval-42", "total": 50},),
    "task": ("gsm8k",),
    "model": ("alpha",),
    "by": ("ann",),
    "created_by": ("ann",),
    "subscription": ("evaluation",),
    "pattern": ("evaluation.*",),
    "name": ("evaluation",),
    "service": ("gateway",),
    "error_class": ("TimeoutError",),
    "error_type": ("TimeoutError",),
    "error_message": ("no answer in 30 s",),
    "from": ("type:evaluation.started",),
    "to": ("handler:evaluation",),
    "host": ("app-1",),
    "url": ("https://shop.example.org/…",),
    "secret": ("whsec_…",),
    "issuer": ("https://login.example.org",),
    "expires_at": ("2027-02-24T09:30:00.000000Z",),
    "answer": ("200 OK",),
    "rules": ("monitoring.* keep 7d",),
    # Of a choice the first that there is.
    "kind": ("user", "handler", "handled", "redrive", "gauge", "email"),
    "state": (
        "served", "open", "completed", "succeeded", "finished", "done", "connected", "ok", "active",
    ),
    "state_before": ("dead",),
    "status": ("pass",),
    "outcome": ("failed", "would_succeed"),
    "mode": ("structured", "report"),
    "health": ("working",),
    "role": ("operator",),
    "scopes": ("read",),
    "login": ("password",),
    "change": ("raised",),
    # What is so as a rule.
    "expired": (False,),
    "disabled": (False,),
    "duplicate": (False,),
    "is_too_large": (False,),
    "is_elsewhere": (False,),
    "is_running": (False,),
    "read_only": (False,),
    "timed_out": (False,),
}  # fmt: skip

ABSENT = frozenset({
    "error", "pause_reason", "paused_at", "paused_by", "stopped_by", "muted_until", "limit_at",
    "full_at", "previous_secret_until", "next", "deprecated", "warning", "reason", "issuer",
})  # fmt: skip
"""Null as a rule, where it may be."""

OF_SHAPE: Mapping[str, Mapping[str, Any]] = {
    "Me": {"name": "ann", "pattern": None},
    "UserShown": {"name": "ann", "subject": None},
    "TokenShown": {"name": "nightly runs", "scopes": ["publish"]},
    "NewToken": {"name": "nightly runs", "scopes": ["publish"]},
    "View": {"name": "failures"},
    "Queue": {"name": "gpu"},
    "Metric": {"name": "loss"},
    "MetricHistory": {"name": "loss"},
    "Channel": {"name": "on-call"},
    "Webhook": {"name": "shop", "subscription": "webhook-shop"},
    "WebhookWithSecret": {"name": "shop", "subscription": "webhook-shop"},
    "Delivery": {"state": "dead"},
    "FlowNode": {"id": "handler:evaluation"},
    "BridgeStatus": {"reason": None, "url": "amqp://broker.example.org"},
    "RebuildProgress": {"handled": 42, "differences": 0, "failures": 0, "examples": []},
}
"""Members of a named schema that mean something else there, or that go together."""
