"""Opening a lane: what the log knows of a subscription, before its first delivery."""

from __future__ import annotations

from eventbus.lane import Lane
from eventbus.log.eventlog import EventLog
from eventbus.subscription import Subscription


def open_lane(log: EventLog, subscription: Subscription) -> Lane:
    """The lane of a subscription, which is stored if it is durable. Blocks for a commit."""
    if not subscription.is_durable:
        lane = Lane(subscription, None)
        lane.position = lane.newest = log.last_sequence
        return lane
    subscriber = log.save_subscriber(subscription.name, subscription.pattern)
    log.count_crashed(subscriber, subscription.policy.max_attempts)
    lane = Lane(subscription, subscriber.id)
    lane.paused_ids = log.paused_ids
    reader = log.delivery_reader
    lane.failures = reader.failures(subscriber.id)
    lane.durations_ms.extend(reader.recent_durations_ms(subscriber.id, log.last_sequence))
    return lane
