"""What tests of RemoteEventBus look at: its counts and what it has said."""

from __future__ import annotations

import pytest

from eventbus import RemoteEventBus


def balance(client: RemoteEventBus) -> tuple[int, int, int, int, int]:
    """Published, sent, dropped, refused, pending; checked to add up."""
    stats = client.stats
    assert stats.published == stats.sent + stats.dropped + stats.refused + stats.pending
    return stats.published, stats.sent, stats.dropped, stats.refused, stats.pending


def messages(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    """The logged messages that contain ``word``."""
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]
