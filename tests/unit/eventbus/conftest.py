"""Fixtures of the bus's tests: a database of the test's own, and a bus on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventbus import EventBus
from eventbus.log import EventLog
from tests.helpers.bus import open_bus
from tests.helpers.databases import on_both, url_for

# The tests of the store: each runs on both databases.
STORE = {
    "test_bus_behind", "test_bus_detach", "test_bus_effects", "test_bus_failures",
    "test_bus_publish", "test_bus_recovery", "test_bus_review", "test_bus_subscriptions",
    "test_catalogue", "test_clock_faults", "test_dead_letters", "test_delivery_lists", "test_flow",
    "test_index", "test_log_append", "test_log_group_commit", "test_operations",
    "test_owed_successes", "test_pauses", "test_retry_now", "test_scheduling",
    "test_scheduling_handlers",
}  # fmt: skip
# Long ones of them, of what is above the store, and what is refused before it is asked:
# EVENTBUS_TEST_DATABASE=postgresql runs them there.
ON_ONE = {
    "test_a_blocked_loop_is_told_once_what_it_has_missed",
    "test_a_handler_that_is_far_behind_leaves_only_so_much_open",
    "test_a_loop_of_events_stops_as_a_dead_letter",
    "test_a_redrive_that_is_stopped_leaves_the_rest_dead",
    "test_a_start_that_dies_while_it_counts_crashes_counts_none_twice",
    "test_a_system_without_threads_is_not_the_end_of_the_pool",
    "test_a_wrong_option_is_refused",
    "test_any_error_is_a_failed_attempt_and_the_bus_goes_on",
    "test_handlers_that_never_suspend_let_others_have_the_loop",
    "test_it_goes_on_where_it_was_after_a_restart",
    "test_many_that_are_due_at_once_are_recorded_in_bounded_commits",
    "test_ten_thousand_come_back_beside_live_events",
    "test_what_makes_no_sense_is_refused_by_name_and_nothing_is_scheduled",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    on_both(metafunc, STORE, ON_ONE)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that nobody has used yet."""
    with url_for(request, tmp_path) as url:
        yield url


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    """An open bus on ``url`` with fast retries."""
    with open_bus(url) as bus:
        yield bus


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    """A log without a bus: it takes units, and nobody handles its deliveries."""
    log = EventLog(url)
    log.start(lambda recorded, batch: None)
    yield log
    log.close()


@pytest.fixture
def run_process(url: str) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script in another process that has ``bus`` open on ``url``, and ``die()``."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        head = (
            "import os, signal\nfrom tests.helpers.bus import open_bus\n"
            f"bus = open_bus({url!r})\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        return subprocess.run(
            [sys.executable, "-c", head + script], capture_output=True, text=True, timeout=60,
            cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip

    return run
