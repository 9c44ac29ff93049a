"""Opening a lane: what the log knows of a subscription, before its first delivery."""

from __future__ import annotations

from contextlib import suppress

from eventbus.errors import DeliveryTakenError
from eventbus.lane import Lane
from eventbus.log.crashed import crashed
from eventbus.log.cut_off import count_cut_off
from eventbus.log.eventlog import EventLog
from eventbus.log.unit import Unit
from eventbus.subscription import Subscription


def open_lane(log: EventLog, subscription: Subscription, id: int | None = None) -> Lane:
    """The lane of a subscription that is to be served now. Blocks for a commit.

    It is stored if it is durable, unless it was: then that gave it ``id``.
    """
    if not subscription.is_durable:
        lane = Lane(subscription, None)
        lane.position = lane.newest = log.last_sequence
        return lane
    if id is None:
        id = log.subscription_changes.save(subscription.name, subscription.pattern).id
    suspects: set[int] = set()
    if log.flights is not None:
        log.flights.open()
        now_us = log.clock.time_ns() // 1_000
        suspects = count_cut_off(log, log.flights, id, subscription.policy, now_us)
    count_crashed(log, id, subscription.policy.max_attempts)
    lane = Lane(subscription, id)
    lane.suspects = suspects
    lane.paused_ids = log.paused_ids
    lane.held = set() if log.channel else None
    reader = log.delivery_reader
    lane.failures = lane.failed_before = reader.failures(id)
    lane.durations_ms.extend(reader.recent_durations_ms(id, log.last_sequence))
    return lane


def count_crashed(log: EventLog, subscription: int, max_attempts: int) -> None:
    """Write one failed attempt for each of its deliveries that a crash cut off."""
    now_us = log.clock.time_ns() // 1_000
    found = log.in_flight.found(subscription)
    for outcome in crashed(log.delivery_reader, subscription, found, max_attempts, now_us):
        with suppress(DeliveryTakenError):
            log.commit(Unit(outcome=outcome))
    log.in_flight.forget(subscription)
