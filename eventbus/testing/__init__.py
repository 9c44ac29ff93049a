"""For the tests of what uses the bus: a clock that the test moves."""

from __future__ import annotations

from eventbus.testing.clock import FakeClock

__all__ = ["FakeClock"]
