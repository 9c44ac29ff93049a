"""Publishing from other processes: RemoteEventBus sends events to a bus over HTTP."""

from __future__ import annotations

from eventbus.client.outbox import ClientStats
from eventbus.client.receipt import RemoteReceipt
from eventbus.client.remote import RemoteEventBus

__all__ = ["ClientStats", "RemoteEventBus", "RemoteReceipt"]
