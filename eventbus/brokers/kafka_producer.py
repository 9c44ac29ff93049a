"""The sending half of a link to Kafka: an idempotent producer, batches with confirms."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventbus.brokers.kafka_client import FINAL
from eventbus.brokers.kafka_message import headers_of
from eventbus.brokers.kafka_rights import MAY_NOT_MAKE, MAY_NOT_WRITE, denied
from eventbus.errors import BrokerAwayError
from eventbus.event import Event

CONNECT_TIMEOUT_S = 10.0
CONFIRM_TIMEOUT_S = 30.0
_POLL_S = 0.1
_LOOK_S = 0.5
_SILENT = "it ends the connection without a word: does it want kafka+ssl://, or a login?"
# The broker's own limit decides what is too large, and not a smaller one of the client.
_MOST_MESSAGE_BYTES = 64 * 1024 * 1024
# What the broker will say of this event at every time.
_REFUSED = frozenset({
    KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_MSG_SIZE,
})  # fmt: skip


class KafkaProducer:
    """Used on one thread, which its calls block."""

    def __init__(
        self,
        conf: Mapping[str, Any],
        topic: tuple[str, int],
        on_error: Callable[[KafkaError], None],
        check: Callable[[], None],
        away: Callable[[str | BrokerAwayError], BrokerAwayError],
    ) -> None:
        """``topic`` is its name, and how many partitions it gets when it is made.

        ``check`` raises when the link is lost, ``away`` makes it so; both give the reason.
        """
        self._conf = dict(conf)
        self._topic, self._partitions = topic
        self._on_error = on_error
        self._check = check
        self._away = away
        self._producer: Producer | None = None

    def open(self) -> None:
        """Connect, and make the topic when it is not there.

        Raises KafkaException, BrokerAwayError, BrokerDeniedError.
        """
        told: list[KafkaError] = []
        conf: dict[str, Any] = {**self._conf, "error_cb": told.append}
        admin = AdminClient(conf)
        if self._topic not in _topics(admin, told):
            topic = NewTopic(self._topic, self._partitions, -1)
            try:
                admin.create_topics([topic])[self._topic].result(CONNECT_TIMEOUT_S)
            except KafkaException as error:
                self._deny(error.args[0], MAY_NOT_MAKE)
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._producer = Producer({
            **self._conf,
            "error_cb": self._on_error,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 2,
            "message.max.bytes": _MOST_MESSAGE_BYTES,
            # It never gives up on an event by itself, which could bring a later one before it.
            "message.timeout.ms": 0,
        })  # fmt: skip

    def publish(self, events: Sequence[Event]) -> Mapping[int, str]:
        producer, topic = self._producer, self._topic
        assert producer is not None, "connected"
        failed: dict[int, KafkaError] = {}
        left = len(events)

        def confirmed(index: int) -> Callable[[KafkaError | None, object], None]:
            def call(error: KafkaError | None, _: object) -> None:
                nonlocal left
                left -= 1
                if error is not None:
                    failed[index] = error

            return call

        deadline = time.monotonic() + CONFIRM_TIMEOUT_S
        for index, event in enumerate(events):
            while True:
                try:
                    producer.produce(
                        topic, event.data_json.encode(), event.subject.encode(),
                        headers=headers_of(event), on_delivery=confirmed(index),
                    )  # fmt: skip
                except BufferError:  # its queue is full
                    self._wait_for(producer, deadline)
                    continue
                except KafkaException as raised:
                    left -= 1
                    failed[index] = raised.args[0]
                break
        while left:
            self._wait_for(producer, deadline)
        refused = {i: error.str() for i, error in failed.items() if error.code() in _REFUSED}
        for index, error in failed.items():
            if index not in refused:
                self._deny(error, MAY_NOT_WRITE)
                raise self._away(error.str())
        return refused

    def _deny(self, error: KafkaError, problem: str) -> None:
        """Raise BrokerDeniedError when it is the login that is wrong."""
        if (told := denied(error, "", self._topic, problem)) is not None:
            raise self._away(told)

    def _wait_for(self, producer: Producer, deadline: float) -> None:
        producer.poll(_POLL_S)
        self._check()
        if time.monotonic() > deadline:
            raise self._away(f"no confirm came within {CONFIRM_TIMEOUT_S:g} s")

    def close(self) -> None:
        """Drop what is not confirmed: it is sent again by the next link."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0.1)
            self._producer = None


def _topics(admin: AdminClient, told: list[KafkaError]) -> Container[str]:
    """Those of the server. Raises KafkaException with the reason that was ``told`` meanwhile.

    What the call itself raises says no more than that nobody has answered.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            topics: Container[str] = admin.list_topics(timeout=_LOOK_S).topics
        except KafkaException:
            admin.poll(0)
            reasons = [each for each in told if each.code() != KafkaError._ALL_BROKERS_DOWN]
            final = [each for each in reasons if each.code() in FINAL]
            if final or time.monotonic() > deadline:
                if reasons:
                    raise KafkaException((final or reasons)[-1]) from None
                if told:
                    raise BrokerAwayError(_SILENT) from None
                raise
        else:
            return topics
