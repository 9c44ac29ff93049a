"""A recording bus, and clients that retry quickly and are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventbus import RemoteEventBus
from tests.helpers.recording_bus import RecordingBus

QUICK: dict[str, Any] = {"linger_s": 0.01, "backoff_first_s": 0.01, "backoff_max_s": 0.05}


@pytest.fixture
def bus() -> Iterator[RecordingBus]:
    with RecordingBus() as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[..., RemoteEventBus]]:
    clients: list[RemoteEventBus] = []

    def make(url: str, **options: Any) -> RemoteEventBus:
        clients.append(RemoteEventBus(url, **{**QUICK, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close(0.1)
