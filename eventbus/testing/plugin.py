"""The pytest plugin: fixtures for tests of what uses the bus; nothing happens without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from eventbus.event import Event
    from eventbus.testing.observed import ObservedBus


@pytest.fixture
def event_bus() -> Iterator[ObservedBus]:
    """A bus of the test's own on a temporary log, whose clock stands still: ``event_bus.clock``.

    After the test it must come to rest, and no handler may have failed unless that was expected
    with ``event_bus.expect_failure``.
    """
    from eventbus.testing.observed import ObservedBus

    with ObservedBus.temporary() as bus:
        yield bus
        if not bus.is_closed:
            bus.settle()
            bus.check_failures()


@pytest.fixture
def published(event_bus: ObservedBus) -> Callable[..., list[Event]]:
    """``event_bus.published``: asserts that events were published, and returns them."""

    def check(*args: Any, **subset: Any) -> list[Event]:
        __tracebackhide__ = True
        return event_bus.published(*args, **subset)

    return check
