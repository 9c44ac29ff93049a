"""The locks that leases are: advisory ones of PostgreSQL, taken, shown to be wanted, and looked at.

All are of a session and end with its connection. A lease is a lock that one has alone; who wants
one that is shared out has a shared lock beside it, under the channel's second number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from eventbus.log.shares import Picture

_TAKE = "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))"
_GIVE_BACK = "SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))"
_SHOW = """
SELECT pg_try_advisory_lock_shared(hashtext(%s), hashtext(name)) FROM unnest(%s::text[]) AS name
"""
_HIDE = "SELECT pg_advisory_unlock_shared(hashtext(%s), hashtext(%s))"
_KEYS = "SELECT name, hashtext(name)::bigint & 4294967295 FROM unnest(%s::text[]) AS name"
_OURS = """
    locktype = 'advisory' AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HELD = f"""
SELECT name FROM unnest(%s::text[]) AS name WHERE EXISTS (
    SELECT 1 FROM pg_locks WHERE {_OURS}
    AND classid::bigint = (hashtext(%s)::bigint & 4294967295)
    AND objid::bigint = (hashtext(name)::bigint & 4294967295))
"""
_PICTURE = f"""
SELECT objid::bigint, pid, classid::bigint = (hashtext(%s)::bigint & 4294967295) FROM pg_locks
WHERE {_OURS} AND classid::bigint IN (
    hashtext(%s)::bigint & 4294967295, hashtext(%s)::bigint & 4294967295)
"""


def keys(driver: Any, names: Collection[str]) -> dict[str, int]:
    """The numbers of these leases in a picture."""
    return dict(driver.execute(_KEYS, (list(names),)).fetchall())


def session(driver: Any) -> int:
    """Who holds this connection's locks in a picture; behind a pooler only the server knows it."""
    return int(driver.execute("SELECT pg_backend_pid()").fetchone()[0])


def take(driver: Any, channel: str, name: str) -> bool:
    """Take a lease, unless another process has it."""
    return bool(driver.execute(_TAKE, (channel, name)).fetchone()[0])


def give_back(driver: Any, channel: str, name: str) -> None:
    """Let another process take it."""
    driver.execute(_GIVE_BACK, (channel, name))


def show(driver: Any, channel: str, names: Sequence[str]) -> None:
    """Let the other processes see that these are wanted here."""
    driver.execute(_SHOW, (_wants(channel), list(names)))


def hide(driver: Any, channel: str, name: str) -> None:
    """It is wanted no more."""
    driver.execute(_HIDE, (_wants(channel), name))


def held(conn: Connection, channel: str, names: Collection[str]) -> set[str]:
    """Which of these leases some process has."""
    return set(conn.exec_driver_sql(_HELD, (list(names), channel)).scalars())


def picture(driver: Any, channel: str) -> Picture:
    """All leases of a log that are wanted or held."""
    wants: dict[int, set[int]] = {}
    held: dict[int, int] = {}
    rows = driver.execute(_PICTURE, (channel, channel, _wants(channel))).fetchall()
    for key, pid, is_lease in rows:
        if is_lease:
            held[key] = pid
        else:
            wants.setdefault(key, set()).add(pid)
    return Picture(wants, held)


def _wants(channel: str) -> str:
    return f"{channel} wants"
