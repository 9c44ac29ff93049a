"""What the server counts of itself, for Prometheus: /metrics, and what collects for it."""

from __future__ import annotations

from app.metrics.routes import register

__all__ = ["register"]
