"""Deliveries that retry or run side by side commit late: the newer event's word must stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, select

from eventbus import EventBus
from handlers.evaluation.table import StoredResult, results, store_results
from handlers.migrations import MIGRATIONS
from handlers.monitoring.samples import Sample
from handlers.monitoring.table import MetricTable, load
from handlers.storage.table import FileChange, apply, files


@pytest.fixture
def conn() -> Iterator[Connection]:
    """A transaction on a database with the read models' tables."""
    with create_engine("sqlite://").begin() as conn:
        for migration in MIGRATIONS:
            migration(conn)
        yield conn


@pytest.mark.parametrize("sequences", [(1, 2), (2, 1)])
def test_the_newer_result_stays(conn: Connection, sequences: tuple[int, ...]) -> None:
    for sequence in sequences:
        store_results(conn, [StoredResult("e1", str(sequence), 0, sequence)])
    assert conn.scalars(select(results.c.result)).all() == ["2"]


@pytest.mark.parametrize("sequences", [(1, 2), (2, 1)])
def test_the_newer_word_on_a_file_stays(conn: Connection, sequences: tuple[int, ...]) -> None:
    for sequence in sequences:
        apply(conn, [FileChange("a", sequence, None, "e1", 0, sequence == 2, sequence)])
    assert conn.scalars(select(files.c.is_deleted)).all() == [True]


def test_a_recorded_value_that_commits_late_keeps_the_increments_after_it(
    conn: Connection, bus: EventBus
) -> None:
    table = MetricTable(bus.log)
    for sequence, amount, is_increment in [(1, 5.0, True), (3, 2.0, True), (4, 1.0, True)]:
        table.apply(conn, [Sample("m", sequence, sequence, amount, is_increment)])
    table.apply(conn, [Sample("m", 2, 2, 100.0, False)])
    assert load(conn, ["m"])["m"].value == 103
    table.apply(conn, [Sample("m", 6, 6, 1.0, True), Sample("m", 5, 5, 10.0, False)])
    assert load(conn, ["m"])["m"].value == 11
