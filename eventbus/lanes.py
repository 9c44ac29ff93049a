"""Opening a lane: what the log knows of a subscription, before its first delivery."""

from __future__ import annotations

from eventbus.lane import Lane
from eventbus.log.deliveries import Unfinished
from eventbus.log.eventlog import EventLog
from eventbus.subscription import Subscription


def open_lane(log: EventLog, subscription: Subscription) -> Lane:
    """The lane of a subscription, which is stored if it is durable. Blocks for a commit."""

    def load(lane: Lane, sequence: int) -> Unfinished | None:
        attempt = 0
        if lane.id is not None:
            row = log.delivery_reader.one(sequence, lane.id)
            if row is None or row[0] not in ("pending", "retrying"):
                return None
            attempt = row[1]
        event = log.get_by_sequence(sequence)
        return None if event is None else Unfinished(event, attempt, None)

    if not subscription.is_durable:
        lane = Lane(subscription, None, load)
        lane.position = lane.newest = log.last_sequence
        return lane
    subscriber = log.save_subscriber(subscription.name, subscription.pattern)
    log.count_crashed(subscriber, subscription.policy.max_attempts)
    lane = Lane(subscription, subscriber.id, load)
    reader = log.delivery_reader
    lane.failures = reader.failures(subscriber.id)
    lane.durations_ms.extend(reader.recent_durations_ms(subscriber.id, log.last_sequence))
    return lane
