"""What `flask retention` prints."""

from __future__ import annotations

import pytest

from app.cli.retention import _show


def test_what_is_in_the_journal_is_part_of_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    _show({
        "path": "/a/e.db", "file_bytes": 1 << 20, "wal_bytes": 2 << 20, "events": 5,
        "oldest_at": "2026-11-26T22:56:20Z", "growth_bytes_per_day": None,
        "disk_free_bytes": None, "limit_at": None, "full_at": None, "retention": {"rules": []},
    })  # fmt: skip
    assert capsys.readouterr().out.startswith("/a/e.db: 3.0 MiB, 5 events since 2026-11-26")
