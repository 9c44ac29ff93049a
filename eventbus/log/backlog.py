"""What each subscription has not finished, counted with a bound: for whoever asks often."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

MOST_COUNTED = 100_000
"""Deliveries of one subscription and state beyond this are not counted: about 10 ms of work."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries of one subscription that are still to be done, each count at most MOST_COUNTED.

    ``oldest_us``: when the oldest of their events was recorded, in microseconds since the epoch.
    """

    subscription: str
    pending: int
    retrying: int
    oldest_us: int | None

    @property
    def lag(self) -> int:
        """Matching events that are not finished."""
        return self.pending + self.retrying


# ix_deliveries_unfinished alone answers counts and minima, the events' primary key the times.
_QUERY = text(
    "SELECT name, pending, retrying, (SELECT recorded_us FROM events WHERE sequence = CASE "
    "  WHEN first_pending IS NULL THEN first_retrying "
    "  WHEN first_retrying IS NULL OR first_pending < first_retrying THEN first_pending "
    "  ELSE first_retrying END) AS oldest_us FROM (SELECT name, "
    + ", ".join(
        f"(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE subscription = s.id AND "
        f"state = '{state}' AND state != 'succeeded' LIMIT :most) AS counted) AS {state}, "
        f"(SELECT min(sequence) FROM deliveries WHERE subscription = s.id AND "
        f"state = '{state}' AND state != 'succeeded') AS first_{state}"
        for state in ("pending", "retrying")
    )
    + " FROM subscriptions AS s WHERE removed_us IS NULL ORDER BY id LIMIT :subscriptions) AS found"
)


def backlogs(conn: Connection, most_subscriptions: int) -> list[Backlog]:
    """The backlogs of the oldest subscriptions, by age."""
    rows = conn.execute(_QUERY, {"most": MOST_COUNTED, "subscriptions": most_subscriptions})
    return [Backlog(*row) for row in rows]
