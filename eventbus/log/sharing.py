"""What a log that several processes write has beyond one that is a file."""

from __future__ import annotations

from eventbus.log.database import Database
from eventbus.log.feed import Feed
from eventbus.log.flights import Flights
from eventbus.log.follower import Followed, Follower
from eventbus.log.leases import Leases
from eventbus.log.postgresql import PostgresqlDatabase


def shared(
    database: Database, log: Followed, feed: Feed
) -> tuple[Follower | None, Leases | None, Flights | None]:
    """Who follows what the others commit and feeds the log with it, leases, and who tells what is
    in a handler; None for a file."""
    if not isinstance(database, PostgresqlDatabase):
        return None, None, None
    follower = Follower(database, log, lambda: feed.last_sequence)
    feed.missing, feed.lagging = follower.missing, follower.hurry
    return follower, Leases(database), Flights(database)
