"""Saving many rows: what they were, they are afterwards, and no update walks its table."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, select

from eventbus import EventBus
from eventbus.log.prepared import MOST_ROWS, ManyRows
from eventbus.log.unit import Unit
from eventbus.log.writer import _FAIL, _SUCCEED
from handlers import install
from handlers.alert import table as alert
from handlers.evaluation import table as evaluation
from handlers.monitoring import table as monitoring
from handlers.queue import table as queue
from handlers.storage import table as storage
from handlers.tables import RowWriter

WRITERS = {
    f"{module.__name__}.{name}": value
    for module in (alert, evaluation, monitoring, queue, storage)
    for name, value in vars(module).items()
    if isinstance(value, RowWriter)
}
UPDATES: dict[str, ManyRows] = {name: writer._update for name, writer in WRITERS.items()}
UPDATES |= {"deliveries that succeeded": _SUCCEED, "deliveries that failed": _FAIL}


@pytest.mark.sqlite
@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("rows", [1, MOST_ROWS])
def test_an_update_finds_its_rows_by_their_key(bus: EventBus, name: str, rows: int) -> None:
    install(bus)
    update = UPDATES[name]
    statement = "EXPLAIN QUERY PLAN " + update._text(rows)
    with bus.log.reading() as conn:
        plan = conn.exec_driver_sql(statement, (None,) * (rows * update.width)).all()
    steps = [step[3] for step in plan]
    table = statement.split()[4]
    assert [step for step in steps if step.startswith(f"SEARCH {table} USING")], steps
    assert not [step for step in steps if step.startswith(f"SCAN {table}")], steps


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 1_000])
def test_rows_are_saved_and_changed_whatever_their_number(bus: EventBus, count: int) -> None:
    table = Table(
        f"many_{count}",
        MetaData(),
        Column("key", Text, primary_key=True),
        Column("number", Integer),
        Column("text", Text),
    )
    writer = RowWriter(table, ["key"])
    # Text that looks like a number stays text, and nothing stays nothing.
    new = [(str(n), n, None if n % 3 else "") for n in range(count)]
    changed = [(str(n), -n, "1e3") for n in range(0, count, 2)]

    def save(conn: Connection) -> None:
        table.create(conn)
        writer.save(conn, new, [])
        writer.save(conn, [], changed)

    bus.log.commit(Unit(call=save))
    with bus.log.reading() as conn:
        found = {row.key: tuple(row) for row in conn.execute(select(table))}
    assert found == {row[0]: row for row in (*new, *changed)}
