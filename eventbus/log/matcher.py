"""Looking for words in events that no index has yet: by the same rules, in a table in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache

from eventbus.event import Event
from eventbus.log.words import Words

COLUMNS = "data, type, subject"
TABLE_OPTIONS = "content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 0'"
"""Without the content, which the log has; columnsize serves a ranking that nobody asks for."""
# Payloads are JSON text: what is escaped there must not begin or end a word. The backslash first.
PLAIN_DATA = (
    r"replace(replace(replace(replace(replace(data, '\\', ' '), '\n', ' '), '\t', ' '), "
    r"""'\r', ' '), '\"', ' ')"""
)


@cache
def has_fts5() -> bool:
    """Whether this SQLite can index words."""
    with closing(sqlite3.connect(":memory:")) as conn:
        try:
            conn.execute(f"CREATE VIRTUAL TABLE one USING fts5({COLUMNS}, {TABLE_OPTIONS})")
        except sqlite3.OperationalError:
            return False
    return True


def matching(words: Words, events: Sequence[Event]) -> list[Event]:
    """Those of the events in whose payload, type or subject all words occur.

    Without FTS5: in which they are contained, also inside of other words.
    """
    if not events:
        return []
    if not has_fts5():
        return [event for event in events if _contains(event, words.contained)]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        conn.execute(f"CREATE VIRTUAL TABLE some USING fts5({COLUMNS}, {TABLE_OPTIONS})")
        conn.executemany(
            f"INSERT INTO some (rowid, {COLUMNS}) "
            f"SELECT ?1, {PLAIN_DATA}, ?3, ?4 FROM (SELECT ?2 AS data)",
            [
                (number, event.data_json, event.type, event.subject)
                for number, event in enumerate(events)
            ],
        )
        found = conn.execute("SELECT rowid FROM some WHERE some MATCH ?", (words.match,))
        numbers = {row[0] for row in found}
    return [event for number, event in enumerate(events) if number in numbers]


def _contains(event: Event, parts: Iterable[str]) -> bool:
    text = f"{event.data_json}\n{event.type}\n{event.subject}".lower()
    return all(part.lower() in text for part in parts)
