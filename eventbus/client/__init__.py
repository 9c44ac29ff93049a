"""For other processes: RemoteEventBus publishes to and subscribes at a bus over HTTP."""

from __future__ import annotations

from eventbus.client.outbox import ClientStats
from eventbus.client.receipt import RemoteBatchReceipt, RemoteReceipt
from eventbus.client.remote import RemoteEventBus

__all__ = ["ClientStats", "RemoteBatchReceipt", "RemoteEventBus", "RemoteReceipt"]
