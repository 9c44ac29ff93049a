"""Fixtures of the handlers' tests: a bus of its own for each, with or without the handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import EventBus
from handlers import Handlers, install
from tests.helpers.bus import open_bus
from tests.helpers.databases import on_both, url_for

# Those about the read models' SQL: each runs on both databases.
READ_MODELS = {
    "test_alert_handler", "test_alert_history", "test_clients", "test_committed", "test_dryrun",
    "test_evaluation_decisions", "test_evaluation_handler", "test_evaluation_inbox",
    "test_evaluation_requests",
    "test_monitoring_handler", "test_notify", "test_queue_handler", "test_rebuild", "test_replay",
    "test_retention", "test_retry_delays", "test_stalled", "test_storage_handler", "test_tables",
    "test_travel", "test_view_handler", "test_webhooks",
}  # fmt: skip
# Long ones of them, about files beside the log and about threads, and what is refused before any
# SQL: EVENTBUS_TEST_DATABASE=postgresql runs them there.
ON_ONE = {
    "test_a_bad_answer_is_an_error_in_bounded_time_and_size",
    "test_a_private_address_is_refused_before_anything_is_sent",
    "test_a_rebuild_under_load_loses_no_delivery_and_applies_none_twice",
    "test_a_rebuild_that_cannot_catch_up_stops_and_says_both_rates",
    "test_an_address_that_may_not_be_sent_to_is_refused_at_once",
    "test_an_event_that_cannot_be_understood_ends_as_a_dead_letter_that_says_why",
    "test_events_that_come_meanwhile_are_recorded_and_handled_once",
    "test_old_copies_become_sparse_and_then_the_oldest_times_go",
    "test_snapshots_are_gone_on_from_after_a_restart",
    "test_there_is_an_end_to_views",
    "test_what_cannot_be_asked_says_why",
    "test_what_is_damaged_or_missing_is_done_without_and_made_again",
    "test_what_is_no_view_is_a_dead_letter",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    on_both(metafunc, READ_MODELS, ON_ONE)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that nobody has used yet."""
    with url_for(request, tmp_path, has_read_models=True) as url:
        yield url


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    """A bus that retries within milliseconds, with nothing subscribed."""
    with open_bus(url) as bus:
        yield bus


@pytest.fixture
def handlers(bus: EventBus) -> Handlers:
    """The built-in handlers, installed on ``bus``."""
    return install(bus)
