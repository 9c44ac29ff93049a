"""The crash harness, briefly: `kill -9` at any instruction loses nothing and repeats nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.__main__ import run
from tests.helpers.databases import running_postgresql

ROUNDS = 16
SHARED_ROUNDS = 4
SEED = 20_261_125


@pytest.mark.crash
def test_kills_at_any_instruction_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    tally = run(ROUNDS, SEED, tmp_path / "kept")
    report = tally.report()
    assert not tally.findings, report
    assert tally.rounds == ROUNDS
    assert tally.kills.total() >= ROUNDS, report
    assert tally.checked["acknowledged messages"] > 10 * ROUNDS, report
    assert tally.checked["crashed attempts"] > 0, report
    assert {"library", "server"} <= tally.starts.keys(), report
    assert len(tally.stages) == 3, report  # outside a transaction, in one, in a commit


@pytest.mark.crash
def test_kills_among_processes_that_share_a_log_lose_nothing_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    tally = run(SHARED_ROUNDS, SEED, tmp_path / "kept", running_postgresql().url)
    report = tally.report()
    assert not tally.findings, report
    assert tally.rounds == SHARED_ROUNDS
    assert tally.kills.total() >= SHARED_ROUNDS, report
    assert tally.checked["acknowledged messages"] > SHARED_ROUNDS, report
    assert tally.checked["effects"] > SHARED_ROUNDS, report
