"""Where a consumer group that is new begins: with what comes from now on."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from eventbus.brokers.kafka_client import PASSING, SHARED_ANEW
from eventbus.brokers.kafka_rights import is_of_topic

_ANSWER_TIMEOUT_S = 10.0
_LOOK_S = 1.0
_PAUSE_S = 0.1


def begin_now(consumer: Consumer, places: list[TopicPartition]) -> bool:
    """A group that is new begins with what comes from now on, like any subscription.

    Without a position it would begin with whatever the topics still have; were it to begin
    with the newest message by itself, what comes before it is there would be lost.
    Returns whether some of it was new.
    """
    new = [place for place in _committed(consumer, places) if place.offset == OFFSET_INVALID]
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    for place in new:
        place.offset = _end(consumer, place, deadline)
    if new:
        try:
            consumer.commit(offsets=new, asynchronous=False)
        except KafkaException as error:
            # Others of the group were quicker; or none of them may be read, which is told later.
            if error.args[0].code() not in SHARED_ANEW and not is_of_topic(error.args[0]):
                raise
    return bool(new)


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """Where the group stands. Raises KafkaException.

    That the login may not be in the group is told beside the call, which goes on trying.
    """
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while True:
        try:
            found: list[TopicPartition] = consumer.committed(places, timeout=_LOOK_S)
        except KafkaException as error:
            message = consumer.poll(0)
            told = message.error() if message is not None else None
            if told is not None and told.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise KafkaException(told) from None
            if error.args[0].code() != KafkaError._TIMED_OUT or time.monotonic() > deadline:
                raise
        else:
            return found


def _end(consumer: Consumer, place: TopicPartition, deadline: float) -> int:
    """The offset behind the newest message; a topic that was just made has no leader yet."""
    while True:
        try:
            _, end = consumer.get_watermark_offsets(place, timeout=_ANSWER_TIMEOUT_S)
        except KafkaException as error:
            code = error.args[0].code()
            is_passing = code in PASSING or code == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not is_passing or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return int(end)
