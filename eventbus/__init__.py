"""Event Bus: publish and subscribe with a durable log; the names below are the public surface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventbus.bus import EventBus as EventBus
    from eventbus.client import RemoteEventBus as RemoteEventBus
    from eventbus.event import Event as Event
    from eventbus.patterns import Pattern as Pattern
    from eventbus.receipt import BatchReceipt as BatchReceipt
    from eventbus.receipt import Receipt as Receipt
    from eventbus.subscription import RetryPolicy as RetryPolicy
    from eventbus.subscription import Subscription as Subscription

# Loaded on first use: a producer that only needs RemoteEventBus must not pay for, nor have
# installed, what the log needs.
_HOME = {
    "BatchReceipt": "eventbus.receipt",
    "Event": "eventbus.event",
    "EventBus": "eventbus.bus",
    "Pattern": "eventbus.patterns",
    "Receipt": "eventbus.receipt",
    "RemoteEventBus": "eventbus.client",
    "RetryPolicy": "eventbus.subscription",
    "Subscription": "eventbus.subscription",
}

__all__ = [
    "BatchReceipt",
    "Event",
    "EventBus",
    "Pattern",
    "Receipt",
    "RemoteEventBus",
    "RetryPolicy",
    "Subscription",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'eventbus' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
