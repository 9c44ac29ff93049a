"""What browsers and programs see live: one hub that writes what is new to every open WebSocket."""

from __future__ import annotations

from app.live.hub import LiveHub
from app.live.routes import register

__all__ = ["LiveHub", "register"]
