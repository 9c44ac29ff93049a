"""The room that a log takes in PostgreSQL: its tables, and how much of them holds nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from eventbus.log import schema

# The size of a row is of those in so many pages, which are the same ones at every look.
_SAMPLED_PAGES = 200
# A row's header and its place in the page (PostgreSQL's manual, 65.6), and our numbers in it.
_ROW_BYTES = 24 + 4 + 5 * 8

_SIZES = text("""
    SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0) AS everything,
        coalesce(sum(pg_table_size(pg_class.oid)) FILTER (WHERE relname = 'events'), 0) AS events,
        coalesce(sum(pg_relation_size(pg_class.oid)) FILTER (WHERE relname = 'events'), 0) AS heap,
        current_setting('block_size')::bigint AS page
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'""")
# What a value takes where it is kept, compressed and apart from its row: nothing of it is read.
_MEAN = """
    SELECT avg(pg_column_size(data) + pg_column_size(id) + pg_column_size(source)
        + pg_column_size(type) + coalesce(pg_column_size(subject), 0)
        + coalesce(pg_column_size(correlationid), 0) + coalesce(pg_column_size(causationid), 0)
        + coalesce(pg_column_size(traceparent), 0) + coalesce(pg_column_size(dataschema), 0)
        + coalesce(pg_column_size(extensions), 0))
    FROM events TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)"""


@dataclass(frozen=True, slots=True)
class Pages:
    """The database's pages of ``size`` bytes: all, and those that hold nothing."""

    size: int
    count: int
    free: int

    @property
    def bytes(self) -> int:
        return self.count * self.size

    @property
    def used_bytes(self) -> int:
        return (self.count - self.free) * self.size


def server_pages(conn: Connection) -> Pages:
    """The pages of this schema's tables and indexes; how many are free is an estimate.

    What is deleted leaves room that PostgreSQL fills again and does not give back: by the size of
    its files alone retention would never see that it has made room. So the events that are there
    are counted, by their numbers, and weighed, by a sample; the indexes and the other tables are
    taken to be as full as the events are.
    """
    sizes = conn.execute(_SIZES).one()
    page, everything, events = int(sizes.page), int(sizes.everything), int(sizes.events)
    count = -(-everything // page)
    last = conn.execute(select(func.max(schema.events.c.sequence))).scalar() or 0
    gone = int(conn.execute(select(func.sum(schema.removals.c.events))).scalar() or 0)
    emptied = conn.execute(select(func.max(schema.removals.c.last_sequence))).scalar()
    if not emptied or not events:
        return Pages(page, count, 0)
    percent = min(100.0, 100 * _SAMPLED_PAGES * page / max(1, int(sizes.heap)))
    mean = conn.exec_driver_sql(_MEAN.format(percent=f"{percent:.6f}")).scalar()
    if mean is None:  # nothing in those pages
        return Pages(page, count, 0)
    share = max(0, last - gone) * (float(mean) + _ROW_BYTES) / events
    return Pages(page, count, int(count * (1 - min(1.0, share))))
