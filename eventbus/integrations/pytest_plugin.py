"""The pytest plugin that publishes a run of tests as an evaluation; off unless a bus is named.

``pytest --eventbus-url=URL``, ``eventbus_url`` in the ini file, or ``EVENTBUS_PYTEST_URL``; see
docs/pytest.md. The fixtures for tests *of* the bus are another plugin, ``eventbus.testing.plugin``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from eventbus.integrations.pytest_run import TestRun

URL_VARIABLE = "EVENTBUS_PYTEST_URL"
CLOSE_TIMEOUT_S = 2.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("eventbus", "event bus")
    group.addoption(
        "--eventbus-url", metavar="URL", default=None,
        help=f"publish this run as an evaluation to the event bus there (also: {URL_VARIABLE})",
    )  # fmt: skip
    group.addoption(
        "--eventbus-name", metavar="NAME", default=None,
        help="the name of the evaluation's task; default: that of the root directory",
    )  # fmt: skip
    parser.addini("eventbus_url", "as --eventbus-url", default="")
    parser.addini("eventbus_name", "as --eventbus-name", default="")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch the run, when a bus is named and this process is the one that knows it all."""
    variable = os.environ.get(URL_VARIABLE, "")
    url = config.getoption("eventbus_url") or config.getini("eventbus_url") or variable
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist: its controller hears of each test
    if not url or is_worker or config.option.collectonly:
        return
    from eventbus.integrations.pytest_run import TestRun

    name = config.getoption("eventbus_name") or config.getini("eventbus_name")
    try:
        run = TestRun(str(url), str(name or config.rootpath.name), config)
    except ValueError as error:
        # Not worth a run of tests: it is their spectator that is missing.
        config.pluginmanager.register(_Refused(str(url), str(error)), "eventbus-refused")
        return
    config.pluginmanager.register(_Watcher(run, variable), "eventbus-watcher")
    # A run of pytest within a test is not another evaluation.
    os.environ.pop(URL_VARIABLE, None)


class _Refused:
    """Says why nothing is published."""

    def __init__(self, url: str, why: str) -> None:
        self._line = f"eventbus: nothing is published to {url!r}: {why}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(self._line, yellow=True)


class _Watcher:
    """The hooks; each only hands on to the run, and no error of it reaches pytest."""

    def __init__(self, run: TestRun, variable: str) -> None:
        self._run = run
        self._variable = variable

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._run.safely(self._run.collected, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._run.safely(self._run.collected_by, str(node.gateway.id), len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._run.safely(self._run.not_collected, report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._run.safely(self._run.reported, report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._run.safely(self._run.finished, nodeid)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest stops itself by such an exception too, as when files could not be collected.
        self._run.is_interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        reason = getattr(session, "shouldfail", False) or getattr(session, "shouldstop", False)
        self._run.safely(self._run.end, int(exitstatus), str(reason or ""))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        line, is_well = self._run.close(CLOSE_TIMEOUT_S)
        terminalreporter.write_line(line, **({} if is_well else {"yellow": True}))

    def pytest_unconfigure(self) -> None:
        self._run.close(CLOSE_TIMEOUT_S)
        if self._variable:
            os.environ[URL_VARIABLE] = self._variable
