"""The second run of a test that failed: who has one, how many may, and what failed at first."""

from __future__ import annotations

import pytest

MOST = 3  # tests that may pass at their second run only; more are no coincidence


def forbid_second_run(items: list[pytest.Item]) -> None:
    """For the crash harness, whose findings depend on the moment of the kill: one is too many."""
    for item in items:
        if item.get_closest_marker("crash"):
            item.add_marker(pytest.mark.flaky(reruns=0))


def fail_with_too_many(session: pytest.Session) -> None:
    """Fails a session that passed, if more than `MOST` tests failed at first."""
    if len(_first_failures(session.config)) > MOST and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def show_first_failures(terminal: pytest.TerminalReporter) -> None:
    """Prints with its traceback each failure that a second run has put aside."""
    failures = _first_failures(terminal.config)
    if failures:
        terminal.section(f"failed at first, then run again ({MOST} may): look into each")
    for failure in failures:
        terminal.write_sep("_", failure.head_line or failure.nodeid)
        failure.toterminal(terminal._tw)


def _first_failures(config: pytest.Config) -> list[pytest.TestReport]:
    """What the terminal has noted; workers of a session that is shared out note nothing."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return terminal.stats.get("rerun", []) if isinstance(terminal, pytest.TerminalReporter) else []
