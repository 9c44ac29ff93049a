"""Fixtures of the handlers' tests: a bus of its own for each, with or without the handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import EventBus
from handlers import Handlers, install
from tests.helpers.bus import open_bus
from tests.helpers.databases import on_both, url_for

# Those about the read models' SQL: each runs on both databases.
READ_MODELS = {
    "test_alert_handler", "test_alert_history", "test_dryrun", "test_evaluation_inbox",
    "test_evaluation_listing", "test_monitoring_handler", "test_queue_handler", "test_stalled",
    "test_storage_handler", "test_tables",
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    on_both(metafunc, READ_MODELS)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that nobody has used yet."""
    with url_for(request, tmp_path) as url:
        yield url


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    """A bus that retries within milliseconds, with nothing subscribed."""
    with open_bus(url) as bus:
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    """The built-in handlers, installed on ``bus``."""
    return install(bus)
