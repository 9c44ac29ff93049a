"""Kafka by way of confluent-kafka: an idempotent producer, a consumer group, keys by subject.

The client's calls block, so each of its two halves has a thread of its own; what comes back to
the event loop is whole batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from eventbus.brokers.address import BrokerAddress
from eventbus.brokers.broker import Incoming
from eventbus.brokers.kafka_beginning import begin_now
from eventbus.brokers.kafka_client import FINAL, PASSING, SHARED_ANEW, client_conf, reason_of
from eventbus.brokers.kafka_message import incoming
from eventbus.brokers.kafka_producer import KafkaProducer
from eventbus.brokers.kafka_rights import MAY_NOT_READ, denied, is_of_topic
from eventbus.brokers.kafka_topics import ReadTopics
from eventbus.errors import BrokerAddressError, BrokerAwayError
from eventbus.event import Event
from eventbus.log.commit import call_soon
from eventbus.patterns import Pattern

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
_POLL_S = 0.1

T = TypeVar("T")
_Place = tuple[str, int]
"""Topic and partition."""


class KafkaBroker:
    """Where events are published to one topic, and received from it by the consumer group ``name``.

    Topics named by the option ``read`` are received, too, whatever their messages are.
    """

    name = "kafka"

    def __init__(self, address: BrokerAddress, group: str, take: Sequence[Pattern]) -> None:
        """Everything is received when there is anything in ``take``: Kafka knows no patterns."""
        prefix = f"{address.path}." if address.path else ""
        self.shown = address.shown
        self.group = group
        self.topic = prefix + address.option("topic", "events")
        read = address.option("read", "")
        self.read = tuple(name for name in read.split(",") if name and name != self.topic)
        self.prefetch = address.number("prefetch", 500)
        self.partitions = address.number("partitions", 6)
        self.is_from_beginning = address.option("from", "now") == "beginning"
        self.is_taking = bool(take)
        self._address = address

    def common(self) -> dict[str, Any]:
        """What producer, consumer and administration are all told."""
        return client_conf(self._address, self.group)

    async def connect(self) -> KafkaLink:
        try:
            link = KafkaLink(self)
        except BrokerAddressError as error:
            raise BrokerAwayError(str(error)) from None
        try:
            async with asyncio.timeout(3 * CONNECT_TIMEOUT_S):
                await link.open()
        except (KafkaException, TimeoutError) as error:
            await link.close()
            raise BrokerAwayError(describe(error)) from None
        except BaseException:
            await link.close()
            raise
        return link


class KafkaLink:
    """A producer and a consumer; see ``Link``.

    What was received and not acknowledged is remembered by partition: the offset that is committed
    is the first of those, so that it comes again to whoever has the partition next.
    """

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._sending = ThreadPoolExecutor(1, "eventbus-kafka-send")
        self._receiving = ThreadPoolExecutor(1, "eventbus-kafka-receive")
        self._producer = KafkaProducer(
            broker.common(),
            (broker.topic, broker.partitions),
            self._on_error,
            self._check,
            self._away,
        )
        self._consumer: Consumer | None = None
        self._topics = ReadTopics(broker.read, broker.common())
        self._lost: BrokerAwayError | None = None
        self._reason: str | None = None
        self._is_closed = threading.Event()
        self._arrived: list[Any] = []
        self._polling: asyncio.Task[None] | None = None
        self._room = asyncio.Event()  # some were acknowledged, or the connection is lost
        # Guarded by _lock: the callbacks of a rebalance come on the receiving thread.
        self._lock = threading.Lock()
        self._unsettled: dict[_Place, dict[int, None]] = {}
        self._next: dict[_Place, int] = {}  # behind all that was received

    @property
    def warning(self) -> str | None:
        return self._topics.warning

    async def open(self) -> None:
        """Connect, make the topic, join the group. Raises KafkaException."""
        await self._in(self._sending, self._producer.open)
        if self._broker.is_taking:
            await self._in(self._receiving, self._open_consumer)

    async def publish(self, events: Sequence[Event]) -> Mapping[int, str]:
        self._check()
        return await self._in(self._sending, lambda: self._producer.publish(events))

    async def receive(self) -> Sequence[Incoming]:
        while True:
            self._check()
            if self._arrived:
                arrived, self._arrived = self._arrived, []
                return [incoming(message, self._broker.topic) for message in arrived]
            self._room.clear()
            if self._consumer is None or self._unsettled_count() >= self._broker.prefetch:
                await self._room.wait()
                continue
            # Not cut off with who waits for it: what it has found would be lost.
            if self._polling is None or self._polling.done():
                self._polling = self._loop.create_task(self._poll())
            await asyncio.shield(self._polling)

    async def acknowledge(self, messages: Sequence[Incoming]) -> None:
        self._check()
        offsets = []
        with self._lock:
            places: set[_Place] = set()
            for message in messages:
                place, offset = message.token
                if place in self._unsettled:  # still ours
                    self._unsettled[place].pop(offset, None)
                    places.add(place)
            for place in places:
                first = next(iter(self._unsettled[place]), self._next[place])
                offsets.append(TopicPartition(*place, first))
        self._room.set()
        if offsets:
            await self._in(self._receiving, lambda: self._commit(offsets))

    async def give_back(self, messages: Sequence[Incoming]) -> None:
        self._check()
        await self._in(self._receiving, lambda: self._seek_back(messages))
        self._room.set()

    async def close(self) -> None:
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._lost = self._lost or BrokerAwayError("it was closed")
        self._room.set()
        with contextlib.suppress(RuntimeError):  # the process ends, and its threads have
            ending = [
                self._loop.run_in_executor(self._sending, self._producer.close),
                self._loop.run_in_executor(self._receiving, self._close_consumer),
            ]
            await asyncio.wait(ending, timeout=CLOSE_TIMEOUT_S)
        self._sending.shutdown(wait=False)
        self._receiving.shutdown(wait=False)

    # -- on the receiving thread -------------------------------------------------------------

    def _open_consumer(self) -> None:
        broker = self._broker
        self._consumer = consumer = Consumer({
            **broker.common(),
            "error_cb": self._on_error,
            "group.id": broker.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 2_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 32_768,
        })  # fmt: skip
        topics = [broker.topic, *broker.read]
        known = consumer.list_topics(timeout=CONNECT_TIMEOUT_S).topics
        self._topics.look(list(known))
        places = [
            TopicPartition(name, partition)
            for name in topics
            if name in known
            for partition in known[name].partitions
        ]
        try:
            is_new = not broker.is_from_beginning and begin_now(consumer, places)
        except KafkaException as error:
            if (told := denied(error.args[0], broker.group, broker.topic, MAY_NOT_READ)) is None:
                raise
            raise told from None
        joined = threading.Event()
        consumer.subscribe(
            topics, on_assign=lambda *_: joined.set(),
            on_revoke=self._on_revoke, on_lost=self._on_revoke,
        )  # fmt: skip
        # Until it is in the group, another process that comes at the same time could still commit
        # a later beginning; from then on the server refuses that.
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while is_new and not joined.is_set() and time.monotonic() < deadline:
            self._arrived += self._poll_once()

    async def _poll(self) -> None:
        """Wait for something to come, for a moment, and take it."""
        self._arrived += await self._in(self._receiving, self._poll_once)

    def _poll_once(self) -> list[Any]:
        consumer = self._consumer
        if consumer is None or self._is_closed.is_set():
            return []
        if (allowed := self._topics.look_again(consumer)) is not None:
            raise self._away(f"connecting again, for the login may read the topic {allowed} now")
        first = consumer.poll(_POLL_S)
        if first is None:
            return []
        room = max(1, self._broker.prefetch - self._unsettled_count())
        found: list[Any] = [first]
        if room > 1:
            found += consumer.consume(room - 1, 0)
        messages: list[Any] = []
        for message in found:
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() not in PASSING and not self._is_borne(error, message):
                told = denied(error, self._broker.group, message.topic() or "?", MAY_NOT_READ)
                raise self._away(told or error.str())
        with self._lock:
            for message in messages:
                place = (message.topic(), message.partition())
                self._unsettled.setdefault(place, {})[message.offset()] = None
                self._next[place] = message.offset() + 1
        return messages

    def _is_borne(self, error: KafkaError, message: Message) -> bool:
        """A topic that cannot be read keeps nobody from sending, nor from the others.

        One of others may be missing; any may be denied to the login.
        """
        topic, partition = message.topic(), message.partition()
        if topic is None or self._consumer is None:
            return False
        if is_of_topic(error):
            self._topics.deny(self._consumer, topic, -1 if partition is None else partition)
            return True
        return error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and self._topics.is_missing(topic)

    def _commit(self, offsets: list[TopicPartition]) -> None:
        if self._consumer is None:
            raise BrokerAwayError(str(self._lost or "it was closed"))
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False) or []
            errors = [place.error for place in done if place.error is not None]
        except KafkaException as error:
            errors = [error.args[0]]
        for problem in errors:
            if problem.code() not in SHARED_ANEW:
                raise self._away(problem.str())

    def _seek_back(self, messages: Sequence[Incoming]) -> None:
        first: dict[_Place, int] = {}
        for message in messages:
            place, offset = message.token
            first[place] = min(offset, first.get(place, offset))
        if self._consumer is None:
            raise BrokerAwayError(str(self._lost or "it was closed"))
        for place, offset in first.items():
            with self._lock:
                unsettled = self._unsettled.get(place)
                if unsettled is None:
                    continue  # another has the partition now
                # What came behind it is read again as well: a partition has no gaps.
                for later in [each for each in unsettled if each >= offset]:
                    del unsettled[later]
                self._next[place] = offset
            try:
                self._consumer.seek(TopicPartition(*place, offset))
            except KafkaException as error:
                raise self._away(describe(error)) from None

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        with self._lock:
            for each in partitions:
                self._unsettled.pop((each.topic, each.partition), None)
                self._next.pop((each.topic, each.partition), None)

    def _close_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    # -- on any ------------------------------------------------------------------------------

    async def _in(self, executor: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        try:
            return await self._loop.run_in_executor(executor, function)
        except RuntimeError as error:  # the executor, or the consumer, was closed meanwhile
            raise BrokerAwayError(str(self._lost or error)) from None

    def _unsettled_count(self) -> int:
        with self._lock:
            return sum(map(len, self._unsettled.values()))

    def _on_error(self, error: KafkaError) -> None:
        """From librdkafka, on the thread that polls it."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._reason = reason_of(error)  # which says more than that all are down
        is_over = error.fatal() or error.code() in (KafkaError._ALL_BROKERS_DOWN, *FINAL)
        if is_over and not self._is_closed.is_set():
            self._away(self._reason or error.str())

    def _check(self) -> None:
        if self._lost is not None:
            raise type(self._lost)(str(self._lost))

    def _away(self, reason: str | BrokerAwayError) -> BrokerAwayError:
        if isinstance(reason, str):
            reason = BrokerAwayError(" ".join(reason.split())[:300])
        self._lost = self._lost or reason
        call_soon(self._loop, self._room.set)
        return self._lost


def describe(error: BaseException) -> str:
    """Why the broker is away, in one line."""
    if isinstance(error, TimeoutError):
        return f"no answer within {3 * CONNECT_TIMEOUT_S:g} s"
    first = error.args[0] if error.args else error
    return reason_of(first) if isinstance(first, KafkaError) else " ".join(str(first).split())[:300]
