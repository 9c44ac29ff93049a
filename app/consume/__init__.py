"""The WebSocket on which handlers in other processes get events and answer them."""

from __future__ import annotations

from app.consume.routes import register

__all__ = ["register"]
