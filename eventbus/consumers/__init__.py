"""The server's side of remote handlers: consumers that share a durable subscription."""

from __future__ import annotations

from eventbus.consumers.groups import ConsumerGroups
from eventbus.consumers.terms import Terms

__all__ = ["ConsumerGroups", "Terms"]
