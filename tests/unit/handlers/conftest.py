"""Fixtures of the handlers' tests: a bus of its own for each, with or without the handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import EventBus
from handlers import Handlers, install
from tests.helpers.bus import open_bus


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'events.db'}"


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    """A bus that retries within milliseconds, with nothing subscribed."""
    with open_bus(url) as bus:
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    """The built-in handlers, installed on ``bus``."""
    return install(bus)
