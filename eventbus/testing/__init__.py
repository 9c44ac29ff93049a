"""For the tests of what uses the bus: an observed bus, a clock to move, recorded events again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventbus.testing.clock import FakeClock as FakeClock
    from eventbus.testing.ndjson import record_ndjson as record_ndjson
    from eventbus.testing.ndjson import replay_ndjson as replay_ndjson
    from eventbus.testing.observed import Failure as Failure
    from eventbus.testing.observed import ObservedBus as ObservedBus
    from eventbus.testing.schemas import assert_matches_schemas as assert_matches_schemas

# Loaded on first use: the pytest plugin is imported by every pytest of an environment that has
# this package, and must cost nothing there.
_HOME = {
    "Failure": "eventbus.testing.observed",
    "FakeClock": "eventbus.testing.clock",
    "ObservedBus": "eventbus.testing.observed",
    "assert_matches_schemas": "eventbus.testing.schemas",
    "record_ndjson": "eventbus.testing.ndjson",
    "replay_ndjson": "eventbus.testing.ndjson",
}

__all__ = [
    "Failure",
    "FakeClock",
    "ObservedBus",
    "assert_matches_schemas",
    "record_ndjson",
    "replay_ndjson",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'eventbus.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
