"""The plugin's fixtures, also where the package is not installed with its entry point."""

from __future__ import annotations

from eventbus.testing.plugin import event_bus, published

__all__ = ["event_bus", "published"]
