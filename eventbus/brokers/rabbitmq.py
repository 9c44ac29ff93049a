"""RabbitMQ by way of aio-pika: a topic exchange, a quorum queue, confirms and manual acks."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed, DeliveryError

from eventbus.brokers.address import BrokerAddress
from eventbus.brokers.binding import attributes_of
from eventbus.brokers.broker import Incoming
from eventbus.brokers.encryption import tls_context, why_untrusted
from eventbus.errors import BrokerAddressError, BrokerAwayError, BrokerBusyError
from eventbus.event import Event
from eventbus.patterns import Pattern
from eventbus.timestamps import format_time, from_microseconds

logger = logging.getLogger("eventbus.brokers")

CONNECT_TIMEOUT_S = 10.0
CONFIRM_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 2.0
_LOOK_S = 1.0
# Sent with this one; both of the binding's are read, and the "ce-" of Knative's RabbitMQ binding,
# which the Python SDK has under the name of RabbitMQ.
PREFIX = "cloudEvents:"
_PREFIXES = (PREFIX, "cloudEvents_", "ce-", "ce_")
# RabbitMQ 4 limits returns to 20 when nothing is said, and then drops the message.
_NO_LIMIT = 1_000_000
# Of several processes that share a log one receives, and the next when that one's connection ends:
# two would record what they have in whichever order.
_ONE_AT_A_TIME = "x-single-active-consumer"

_LOST = (AMQPError, OSError, TimeoutError, asyncio.CancelledError, RuntimeError)


def binding_key(pattern: Pattern) -> str:
    """The binding key of a topic exchange that matches the same types; exact in all cases."""
    return ".".join("*" if token == "+" else token for token in pattern.tokens)


class RabbitMqBroker:
    """Where events are published to the exchange, and received from the queue ``name``.

    Messages that came back too often move to the queue ``<name>.dead``, from which they are
    received one at a time, so that one which ends the process holds up no others.
    """

    name = "rabbitmq"

    def __init__(self, address: BrokerAddress, queue: str, take: Sequence[Pattern]) -> None:
        """``take`` are the patterns that the queue is bound by; without any nothing is received."""
        self.shown = address.shown
        self.queue = queue
        self.exchange = address.option("exchange", "events")
        self.prefetch = address.number("prefetch", 200)
        self._delivery_limit = address.number("delivery-limit", 20)
        self._address = address
        self._take = tuple(take)
        self._queues_for_many: set[str] = set()

    async def connect(self) -> RabbitMqLink:
        link = RabbitMqLink(self.exchange)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._connected()
                link.attach(connection)
                await link.open_publishing(connection)
                if self._take:
                    await self._consume(link, connection)
        except _LOST as error:
            await link.close()
            if isinstance(error, asyncio.CancelledError) and not link.is_lost:
                raise
            raise BrokerAwayError(describe(error)) from None
        except BrokerAddressError as error:
            raise BrokerAwayError(str(error)) from None
        except BaseException:
            await link.close()
            raise
        return link

    async def _connected(self) -> AbstractConnection:
        address = self._address
        host, port = address.hosts[0]
        return await aio_pika.connect(
            host=host.strip("[]"),
            port=port,
            login=address.user or "guest",
            password=address.password or "guest",
            virtualhost=address.path or "/",
            ssl=address.is_encrypted,
            ssl_context=tls_context(address),  # the files anew: certificates are renewed
            timeout=CONNECT_TIMEOUT_S,
            heartbeat=address.number("heartbeat", 30),
            client_properties={"connection_name": f"eventbus {self.queue}"},
        )

    async def _consume(self, link: RabbitMqLink, connection: AbstractConnection) -> None:
        dead = f"{self.queue}.dead"
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-delivery-limit": self._delivery_limit,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
            # The default hands over at most once; this one needs the overflow said.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        last: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": _NO_LIMIT}
        for name, prefetch, options in (
            (dead, 1, last), (self.queue, self.prefetch, arguments),
        ):  # fmt: skip
            channel, queue = await self._declare(connection, name, options)
            await channel.set_qos(prefetch_count=prefetch)
            if name == self.queue:
                for pattern in self._take:
                    await queue.bind(self.exchange, binding_key(pattern))
            await link.consume(channel, queue)

    async def _declare(
        self, connection: AbstractConnection, name: str, arguments: dict[str, Any]
    ) -> tuple[AbstractChannel, AbstractQueue]:
        """The queue, made when it is not there, on a channel of its own."""
        channel = await connection.channel(publisher_confirms=False)
        one = {**arguments, _ONE_AT_A_TIME: True}
        try:
            return channel, await channel.declare_queue(name, durable=True, arguments=one)
        except ChannelPreconditionFailed as error:  # which has closed the channel
            if _ONE_AT_A_TIME not in str(error):
                raise
        if name not in self._queues_for_many:
            self._queues_for_many.add(name)
            logger.warning(
                "the queue %s was made without %s: several processes take in from it at the same "
                "time, in no order; delete it when it is empty, and it is made anew at a start",
                name, _ONE_AT_A_TIME,
            )  # fmt: skip
        channel = await connection.channel(publisher_confirms=False)
        return channel, await channel.declare_queue(name, durable=True, arguments=arguments)


class RabbitMqLink:
    """A connection with one channel for publishing and one for each queue."""

    warning: str | None = None

    def __init__(self, exchange: str) -> None:
        self._exchange_name = exchange
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._lost: str | None = None
        self._arrived: list[Incoming] = []
        self._news = asyncio.Event()  # something has arrived, or the connection is lost
        self._consumers: list[tuple[Any, str]] = []  # the channel underneath, and its consumer
        # By channel what was received and not settled, in the order of arrival.
        self._unsettled: dict[int, dict[int, None]] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the connection, or a channel of it, has ended by itself."""
        return self._lost is not None

    def attach(self, connection: AbstractConnection) -> None:
        self._connection = connection
        connection.close_callbacks.add(self._ended)

    async def open_publishing(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=False)
        channel.close_callbacks.add(self._ended)
        self._exchange = await channel.declare_exchange(
            self._exchange_name, ExchangeType.TOPIC, durable=True
        )

    async def consume(self, channel: AbstractChannel, queue: Any) -> None:
        channel.close_callbacks.add(self._ended)
        underlay = await channel.get_underlay_channel()
        unsettled = self._unsettled[id(underlay)] = {}

        async def arrived(message: Any) -> None:
            unsettled[message.delivery_tag] = None
            self._arrived.append(_incoming(message, queue.name, id(underlay)))
            self._news.set()

        tag = await queue.consume(arrived)
        self._consumers.append((underlay, tag))

    async def publish(self, events: Sequence[Event]) -> Mapping[int, str]:
        exchange = self._exchange
        assert exchange is not None, "connected"
        self._check()
        # The tasks run in their order up to the channel's lock, which is given in order too, so
        # the messages go out one after the other; only the waiting for confirms is common.
        sending = [
            asyncio.ensure_future(exchange.publish(message_of(event), event.type, mandatory=False))
            for event in events
        ]
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                results = await asyncio.gather(*sending, return_exceptions=True)
        except TimeoutError:
            raise self._away(f"no confirm came within {CONFIRM_TIMEOUT_S:g} s") from None
        for index, result in enumerate(results):
            if isinstance(result, BaseException):
                return self._failed(result, index, len(events))
        return {}

    def _failed(self, error: BaseException, index: int, count: int) -> Mapping[int, str]:
        """The first event of a batch that was not confirmed."""
        if isinstance(error, DeliveryError):
            raise BrokerBusyError("a queue of the exchange takes no more (basic.nack)", index)
        if isinstance(error, ChannelPreconditionFailed) and count == 1:
            return {0: describe(error)}
        if isinstance(error, ChannelPreconditionFailed):
            raise BrokerBusyError(describe(error), 0)
        raise self._away(describe(error))

    async def receive(self) -> Sequence[Incoming]:
        while not self._arrived:
            self._check()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            # A queue that was deleted ends its consumer without a word to anybody.
            if any(tag not in channel.consumers for channel, tag in self._consumers):
                raise self._away("the broker has ended the consumer: was the queue deleted?")
        self._check()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def acknowledge(self, messages: Sequence[Incoming]) -> None:
        await self._settle(messages, lambda message, many: message.ack(multiple=many))

    async def give_back(self, messages: Sequence[Incoming]) -> None:
        await self._settle(messages, lambda message, many: message.nack(multiple=many))

    async def close(self) -> None:
        self._lost = self._lost or "it was closed"
        self._news.set()
        if self._connection is not None:
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._connection.close()

    async def _settle(
        self, messages: Sequence[Incoming], settle: Callable[[Any, bool], Any]
    ) -> None:
        self._check()
        by_channel: dict[int, list[Any]] = {}
        for incoming in messages:
            channel, message = incoming.token
            by_channel.setdefault(channel, []).append(message)
        try:
            for channel, settled in by_channel.items():
                unsettled = self._unsettled[channel]
                first = [tag for tag, _ in zip(unsettled, settled, strict=False)]
                if first == [message.delivery_tag for message in settled]:
                    await settle(settled[-1], True)
                else:
                    for message in settled:
                        await settle(message, False)
                for message in settled:
                    unsettled.pop(message.delivery_tag, None)
        except _LOST as error:
            if isinstance(error, asyncio.CancelledError) and not self.is_lost:
                raise
            raise self._away(describe(error)) from None

    def _ended(self, _: object, error: BaseException | None = None) -> None:
        self._lost = self._lost or (describe(error) if error else "the connection was closed")
        self._news.set()

    def _check(self) -> None:
        if self._lost is not None:
            raise BrokerAwayError(self._lost)

    def _away(self, reason: str) -> BrokerAwayError:
        self._lost = self._lost or reason
        self._news.set()
        return BrokerAwayError(self._lost)


def message_of(event: Event) -> Message:
    """An event as a message: binary mode of the AMQP binding (CloudEvents AMQP 1.0.2 §3.1).

    What the binding calls application-properties is the table ``headers`` of AMQP 0-9-1;
    RabbitMQ turns one into the other between clients of the two protocols.
    """
    return Message(
        event.data_json.encode(),
        headers={PREFIX + name: value for name, value in attributes_of(event).items()},
        content_type=event.datacontenttype,
        content_encoding="utf-8",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=_short(event.id),
        correlation_id=_short(event.correlationid),
        timestamp=event.time,
        type=event.type,
    )


def _incoming(message: Any, queue: str, channel: int) -> Incoming:
    attributes: dict[str, str] = {}
    wrong: list[str] = []
    for name, value in (message.headers or {}).items():
        prefix = next((each for each in _PREFIXES if name.startswith(each)), None)
        if prefix is not None and value is not None:
            if isinstance(value, dict | list):
                wrong.append(name[len(prefix) :].lower())
            attributes[name[len(prefix) :].lower()] = _text(name[len(prefix) :], value)
    body = bytes(message.body)
    exchange, key = _published(message)
    mapped = None
    if message.message_id:
        mapped = {
            "id": message.message_id,
            "source": message.app_id or f"/rabbitmq/{exchange or queue}",
            "type": key,
        }
        if message.timestamp is not None:
            mapped["time"] = format_time(message.timestamp.astimezone(UTC))
        if message.correlation_id:
            mapped["correlationid"] = str(message.correlation_id)
    # The same when it is delivered again: redelivered messages have no number of their own.
    seen = (message.message_id, key, message.timestamp, sorted(attributes.items()))
    mark = hashlib.sha256(repr(seen).encode("utf-8", "replace") + body).hexdigest()[:32]
    return Incoming(
        body, message.content_type or "", attributes, mapped,
        f"/rabbitmq/{queue.removesuffix('.dead')}", mark, (channel, message),
        tuple(wrong),
    )  # fmt: skip


def _published(message: Any) -> tuple[str, str]:
    """The exchange and the routing key that it was published with, also when it came back."""
    try:
        died = message.headers["x-death"][-1]
        return str(died["exchange"]), str(died["routing-keys"][0])
    except (KeyError, IndexError, TypeError):
        return message.exchange or "", message.routing_key or ""


def _short(text: str) -> str:
    """A property is a short string: 255 bytes (AMQP 0-9-1 §4.2.5.3). The header has all of it."""
    return text if len(text) < 64 else text.encode()[:255].decode(errors="ignore")


def _text(attribute: str, value: Any) -> str:
    """A header in its canonical string form (CloudEvents AMQP 1.0.2 §3.1.3.2)."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return format_time(aware.astimezone(UTC))
    if attribute == "time" and isinstance(value, int):  # AMQP 1.0's timestamp, in milliseconds
        with contextlib.suppress(OverflowError):
            return format_time(from_microseconds(value * 1_000))
    return str(value)


def describe(error: BaseException) -> str:
    """Why the broker is away, in one line and without a password."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    if (reason := why_untrusted(error)) is not None:
        return reason
    text = " ".join(str(part) for part in error.args) or str(error) or type(error).__name__
    return " ".join(text.split())[:300]
