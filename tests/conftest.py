"""Fixtures that tests of every kind share: servers, and the path of the test browser."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.browser import find_browser
from tests.helpers.databases import ON_POSTGRESQL, use_postgresql
from tests.helpers.examples import examples
from tests.helpers.file_order import file_order
from tests.helpers.second_run import fail_with_too_many, forbid_second_run, show_first_failures
from tests.helpers.server import ServerProcess

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every commit is synchronised, and what tests write may be gone after a power cut: in memory that
# takes no time. PYTEST_DEBUG_TEMPROOT chooses another place.
MEMORY, ROOMY_BYTES = Path("/dev/shm"), 3 << 30
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOMY_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

if ON_POSTGRESQL:
    use_postgresql()

# No example has a deadline: how long one takes says more about the machine than about the code.
settings.register_profile("here", settings.default, deadline=None, max_examples=examples())
settings.load_profile("here")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Between workers in another order; with every log in PostgreSQL without SQLite's own tests."""
    if hasattr(config, "workerinput"):
        items.sort(key=file_order([item.path for item in items]))
    forbid_second_run(items)
    for item in items:
        if ON_POSTGRESQL and item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason="it is about a log in SQLite"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    fail_with_too_many(session)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    show_first_failures(terminalreporter)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One running server for all tests of a module; they must not mind each other's events."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A running server with an empty database, for one test."""
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def start_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers with the WSGI app and the environment variables of the test's choice."""
    with ExitStack() as servers:

        def start(app: str = "wsgi:app", **variables: str) -> ServerProcess:
            directory = tmp_path_factory.mktemp("server")
            return servers.enter_context(ServerProcess(directory, app, **variables))

        yield start


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The Chromium that browser tests drive; `make test` has seen to it that there is one."""
    path = find_browser()
    assert path is not None, "no Chromium found; run: python -m tests.helpers.browser"
    return path
