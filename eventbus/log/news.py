"""How many events of a query have come since a position of the log: counted on from there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eventbus.log import event_filter
from eventbus.log.cursor import decode_place
from eventbus.log.event_filter import EventFilter
from eventbus.log.eventlog import EventLog
from eventbus.log.values import EventQuery

# So many positions are looked at in one go where no index leads to the events.
_MOST_LOOKED_AT = 20_000
# With a text, events are read with their payloads.
_MOST_READ = 100


@dataclass(frozen=True, slots=True)
class News:
    """``count`` events match up to ``position`` (a sequence); ``is_all``: there are no more yet."""

    count: int
    position: int
    is_all: bool


def count_news(log: EventLog, query: EventQuery, after: int, most: int) -> News:
    """Events of the query's filter, whatever its page, after a sequence; at most ``most``.

    Counting goes on from the answer's position. Raises HiddenTextError, SearchTextError.
    """
    last = log.last_sequence  # before the types: one that is new by then has no event up to here
    if query.text:
        return _read(log, query, after, most, last)
    wanted = EventFilter.of(query, log.known_types)
    high = last + 1
    if wanted.must_scan:
        high = min(high, after + 1 + _MOST_LOOKED_AT)
    if high <= after + 1:
        return News(0, after, is_all=True)
    with (
        log.reading() as conn,
        event_filter.opened(conn, wanted, after, high, "asc", most, "sequence") as rows,
    ):
        found = rows.all()
    if len(found) == most:
        return News(most, int(found[-1][0]), is_all=found[-1][0] == last)
    return News(len(found), high - 1, is_all=high > last)


def _read(log: EventLog, query: EventQuery, after: int, most: int, last: int) -> News:
    limit = min(most, _MOST_READ)
    page = log.query(replace(query, after=after, cursor=None, order="asc", limit=limit))
    if page.next is not None:
        return News(len(page.events), decode_place(page.next)[0], is_all=False)
    newest = page.events[-1].sequence or 0 if page.events else 0
    return News(len(page.events), max(after, last, newest), is_all=True)
