"""A test that fails has a second run: few may need it, none of the crash harness; all are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests.helpers.second_run import fail_with_too_many, forbid_second_run, show_first_failures

def pytest_configure(config):
    config.addinivalue_line("markers", "crash: as in this project")

def pytest_collection_modifyitems(items):
    forbid_second_run(items)

def pytest_sessionfinish(session):
    fail_with_too_many(session)

def pytest_terminal_summary(terminalreporter):
    show_first_failures(terminalreporter)
"""
UNLUCKY = """
import pytest

SEEN = set()

{mark}
@pytest.mark.parametrize("number", range({tests}))
def test_second_time_lucky(number):
    if number not in SEEN:
        SEEN.add(number)
        raise ValueError(f"unlucky {{number}}")
"""


@pytest.mark.parametrize(
    ("tests", "mark", "workers", "status", "closing"),
    [
        (3, "", ("-n", "1"), 0, "3 passed, 3 rerun"),
        (4, "", ("-n", "1"), 1, "4 passed, 4 rerun"),
        (4, "", (), 1, "4 passed, 4 rerun"),
        (1, "@pytest.mark.crash", ("-n", "1"), 1, "1 failed"),
    ],
    ids=["few", "too many", "too many without workers", "crash"],
)
def test_who_may_fail_once(
    tests: int, mark: str, workers: tuple[str, ...], status: int, closing: str, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(UNLUCKY.format(tests=tests, mark=mark))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--reruns", "1", *workers],
        cwd=tmp_path, env={"PYTHONPATH": str(TOP)}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert run.returncode == status, run.stdout + run.stderr
    assert closing in run.stdout.splitlines()[-1]
    for number in range(tests):  # where it was raised, and what
        assert f"ValueError: unlucky {number}" in run.stdout
