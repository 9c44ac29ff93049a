"""docs/security.md names tests that exist, so that no threat loses its attack unnoticed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "docs/security.md").read_text()))
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(named) > 10
    assert named - there == set()


def test_every_threat_has_a_test() -> None:
    page = (ROOT / "docs/security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert len(rows) > 15
    assert [row for row in rows if "`test_" not in row.rpartition(" | ")[2]] == []
