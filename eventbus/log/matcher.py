"""Looking for words in events that no index has yet: by the same rules, in a table in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache

from eventbus.event import Event
from eventbus.log.words import Words, parts

COLUMNS = "data, type, subject, parts"
TABLE_OPTIONS = "content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 0'"
"""Without the content, which the log has; columnsize serves a ranking that nobody asks for."""
# Payloads are JSON text: what is escaped there must not begin or end a word. The backslash first.
PLAIN_DATA = (
    r"replace(replace(replace(replace(replace(data, '\\', ' '), '\n', ' '), '\t', ' '), "
    r"""'\r', ' '), '\"', ' ')"""
)
# Words inside of others, of all three. Few texts have any: only for those is Python called.
PARTS = (
    "CASE WHEN data GLOB '*[a-zA-Z0-9][A-Z]*' OR type GLOB '*[a-zA-Z0-9][A-Z]*' "
    "OR subject GLOB '*[a-zA-Z0-9][A-Z]*' "
    f"THEN word_parts({PLAIN_DATA} || ' ' || type || ' ' || subject) ELSE '' END"
)


def know_parts(conn: sqlite3.Connection) -> None:
    """Have the connection know the function that PARTS uses."""
    conn.create_function("word_parts", 1, parts, deterministic=True)


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
        know_parts(conn)
        conn.execute(f"CREATE VIRTUAL TABLE some USING fts5({COLUMNS}, {TABLE_OPTIONS})")
        conn.executemany(
            f"INSERT INTO some (rowid, {COLUMNS}) "
            f"SELECT ?1, {PLAIN_DATA}, type, subject, {PARTS} "
            "FROM (SELECT ?2 AS data, ?3 AS type, ?4 AS subject)",
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
