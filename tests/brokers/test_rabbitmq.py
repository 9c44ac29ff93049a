"""RabbitMQ as services without our code see it, and what its queues do; on the real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message

from eventbus import Event, Pattern
from eventbus.brokers import open_broker
from eventbus.brokers.rabbitmq import binding_key
from eventbus.errors import BrokerAwayError
from tests.brokers.buses import WAIT_S, joined
from tests.brokers.stages import (
    RabbitMqStage,
    make_event,
    numbers,
    opened,
    receive,
    run,
)
from tests.helpers.waiting import wait_until
from tests.services import RabbitMq


@pytest.fixture
def rabbit(rabbitmq: RabbitMq) -> Iterator[RabbitMqStage]:
    with opened(RabbitMqStage(rabbitmq.url)) as stage:
        yield stage


@asynccontextmanager
async def foreign(stage: RabbitMqStage) -> AsyncIterator[aio_pika.abc.AbstractExchange]:
    """The exchange as a service without our code uses it."""
    async with await aio_pika.connect(stage.server_url) as connection:
        channel = await connection.channel()
        yield await channel.declare_exchange(stage.prefix, ExchangeType.TOPIC, durable=True)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("queue.*", "queue.*.#"), ("*", "*.#"), ("#", "#"), ("a.*.b", "a.*.b"), ("+.b", "*.b"),
        ("a.#.b", "a.#.b"), ("a.+", "a.*"), ("a.#.#", "a.#"),
    ],
)  # fmt: skip
def test_a_pattern_becomes_a_binding_key(pattern: str, key: str) -> None:
    assert binding_key(Pattern(pattern)) == key


def test_a_service_without_our_code_binds_a_queue_and_gets_cloudevents(
    rabbit: RabbitMqStage, tmp_path: Path
) -> None:
    async def listen(made: Event) -> None:
        async with await aio_pika.connect(rabbit.server_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(rabbit.prefix)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "test.#")
            bus.bus.publish_event(made)
            async with queue.iterator(timeout=WAIT_S) as messages:
                message = await anext(messages)
                await message.ack()
            assert json.loads(message.body) == {"n": 1, "text": "ü"}
            assert message.content_type == "application/json"
            assert message.routing_key == "test.made"
            assert (message.message_id, message.type) == (made.id, "test.made")
            assert message.delivery_mode == DeliveryMode.PERSISTENT
            headers = {
                name.removeprefix("cloudEvents:"): value
                for name, value in message.headers.items()
                if name.startswith("cloudEvents:")
            }
            assert headers["specversion"] == "1.0"
            assert headers["id"] == made.id
            assert headers["source"] == "/here"
            assert headers["type"] == "test.made"
            assert headers["subject"] == "s"
            assert headers["time"] == "2026-11-24T09:30:00.000000Z"
            assert "datacontenttype" not in headers

    with joined(rabbit, tmp_path, "a") as (bus,):
        run(listen(Event.create(
            "test.made", {"n": 1, "text": "ü"}, source="/here", subject="s",
            time="2026-11-24T09:30:00Z",
        )))  # fmt: skip


def test_a_service_without_our_code_publishes_in_whichever_form(
    rabbit: RabbitMqStage, tmp_path: Path
) -> None:
    moment = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    envelope = {"specversion": "1.0", "id": "5", "source": "/shop", "type": "order.paid"}

    def headers(prefix: str, id: str, **more: object) -> dict[str, object]:
        given = {"specversion": "1.0", "id": id, "source": "/shop", "type": "order.paid", **more}
        return {prefix + name: value for name, value in given.items()}

    messages = [
        Message(b'{"n":1}', headers=headers("cloudEvents:", "1", time=moment),
                content_type="application/json"),
        Message(b'{"n":2}', headers=headers("cloudEvents_", "2", time=1_763_976_600_000)),
        Message(b'{"n":3}', headers=headers("ce-", "3", time="2026-11-24T10:30:00+01:00")),
        Message(json.dumps({**envelope, "id": "4", "data": {"n": 4}}).encode(),
                content_type="application/cloudevents+json; charset=UTF-8"),
        Message(json.dumps({**envelope, "data": {"n": 5}}).encode()),
        Message(b'{"n":6}', message_id="6", app_id="/shop", timestamp=moment,
                content_type="application/json"),
    ]  # fmt: skip

    async def publish() -> None:
        async with foreign(rabbit) as exchange:
            for message in messages:
                await exchange.publish(message, "order.paid")

    with joined(rabbit, tmp_path, "a") as (bus,):
        run(publish())
        seen = sorted(bus.seen.wait_for(6, WAIT_S), key=lambda event: event.id)
        assert [event.id for event in seen] == ["1", "2", "3", "4", "5", "6"]
        assert [event["n"] for event in seen] == [1, 2, 3, 4, 5, 6]
        assert {(event.type, event.source) for event in seen} == {("order.paid", "/shop")}
        assert seen[0].time == seen[2].time == seen[5].time == moment
        assert bus.bridge.status().rejected == 0


@pytest.mark.parametrize("value", [{"x": 1}, ["x"]], ids=["table", "array"])
def test_an_attribute_that_is_no_text_makes_no_event(
    rabbit: RabbitMqStage, tmp_path: Path, value: Any
) -> None:
    given = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid"}
    headers = {f"cloudEvents:{name}": text for name, text in given.items()}

    async def publish() -> None:
        async with foreign(rabbit) as exchange:
            message = Message(b'{"n":1}', headers={**headers, "cloudEvents:subject": value})
            await exchange.publish(message, "order.paid")

    with joined(rabbit, tmp_path, "a") as (bus,):
        run(publish())
        (rejected,) = bus.seen.wait_for(1, WAIT_S)
        assert rejected.type == "bus.intake.rejected"
        assert rejected["errors"] == [
            {"pointer": "/subject", "detail": "must be a text, not a table or array"}
        ]


def test_a_poisoned_message_is_recorded_with_its_body_and_acknowledged(
    rabbit: RabbitMqStage, tmp_path: Path
) -> None:
    async def publish() -> None:
        async with foreign(rabbit) as exchange:
            await exchange.publish(Message(b"\x00 no event"), "test.made")
            await exchange.publish(
                Message(b'{"n": 1}', message_id="m1", content_type="application/json"), "test.made"
            )

    with joined(rabbit, tmp_path, "a") as (bus,):
        run(publish())
        seen = sorted(bus.seen.wait_for(2, WAIT_S), key=lambda event: event.sequence or 0)
        assert [event.type for event in seen] == ["bus.intake.rejected", "test.made"]
        assert seen[0]["body_base64"] == "ACBubyBldmVudA=="
        assert seen[0].source == f"/rabbitmq/{rabbit.queue('a')}"
        # Acknowledged after our commit: who closes in between gets it again, and has it once.
        wait_until(lambda: bus.bridge.status().taken >= 2, "both are acknowledged")
        bus.close()
        assert run(left(rabbit, "a")) == (0, 0)


async def left(stage: RabbitMqStage, queue: str) -> tuple[int, int]:
    """How many messages the queue has, and that of those which came back too often."""
    counts = []
    async with await aio_pika.connect(stage.server_url) as connection:
        channel = await connection.channel()
        for name in (stage.queue(queue), f"{stage.queue(queue)}.dead"):
            declared = await channel.declare_queue(name, passive=True)
            counts.append(declared.declaration_result.message_count)
    return counts[0], counts[1]


def test_a_message_that_comes_back_too_often_goes_aside_and_is_still_received(
    rabbit: RabbitMqStage,
) -> None:
    broker = rabbit.broker("q", options="&delivery-limit=2")

    async def scenario() -> None:
        link = await broker.connect()
        async with foreign(rabbit) as exchange:
            await exchange.publish(
                Message(b'{"n": 7}', message_id="m7", content_type="application/json"), "test.made"
            )
        for _ in range(3):
            await link.give_back(await link.receive())
        (event,) = await receive(link, 1)
        assert (event.type, event["n"], event.id) == ("test.made", 7, "m7")
        await link.close()

    run(scenario())
    assert run(left(rabbit, "q")) == (0, 0)


def test_a_queue_that_is_deleted_is_made_again(rabbit: RabbitMqStage, tmp_path: Path) -> None:
    async def delete() -> None:
        async with await aio_pika.connect(rabbit.server_url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(rabbit.queue("b"))

    with joined(rabbit, tmp_path, "a", "b") as (a, b):
        run(delete())
        wait_until(lambda: b.bridge.status().state == "away", "it is noticed", WAIT_S)
        b.wait_connected()
        a.bus.publish("test.made", {"n": 1})
        b.seen.wait_for(1, WAIT_S)


def test_a_full_queue_of_another_service_delays_and_loses_nothing(
    rabbit: RabbitMqStage, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(rabbit.server_url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(
                exclusive=True, arguments={"x-max-length": 5, "x-overflow": "reject-publish"}
            )
            await queue.bind(rabbit.prefix, "test.#")
            for n in range(50):
                a.bus.publish("test.made", {"n": n}, subject=f"s{n}")
            while a.bridge.status().state != "away":
                await asyncio.sleep(0.05)
            seen: set[int] = set()
            async with queue.iterator(timeout=WAIT_S) as messages:
                async for message in messages:
                    seen.add(json.loads(message.body)["n"])
                    await message.ack()
                    if len(seen) == 50:
                        break

    with joined(rabbit, tmp_path, "a") as (a,):
        run(scenario())
        a.wait_connected()
        wait_until(lambda: a.relay_state() == (0, 0), "all are sent", WAIT_S)


def test_two_links_of_one_queue_and_a_message_of_each_kind(rabbit: RabbitMqStage) -> None:
    async def scenario() -> None:
        link = await rabbit.broker("q").connect()
        await link.publish([make_event(n) for n in range(300)])
        messages = await link.receive()
        while len(messages) < 20:
            messages = [*messages, *await link.receive()]
        # Not the first ones: those must not be acknowledged with them.
        await link.acknowledge(messages[10:20])
        await link.close()
        again = await rabbit.broker("q").connect()
        assert len(numbers(await receive(again, 290))) == 290
        await again.close()

    run(scenario())


@pytest.mark.parametrize("login", ["guest:wrong", "nobody:secret"])
def test_a_wrong_password_is_said_and_not_repeated(rabbitmq: RabbitMq, login: str) -> None:
    broker = open_broker(rabbitmq.url.replace("guest:guest", login), take=[Pattern("#")])

    async def connect() -> None:
        with pytest.raises(BrokerAwayError) as raised:
            await broker.connect()
        assert "ACCESS_REFUSED" in str(raised.value)
        assert "secret" not in str(raised.value) + broker.shown

    run(connect())


def test_a_queue_with_other_arguments_is_said(rabbit: RabbitMqStage) -> None:
    async def connect() -> None:
        await (await rabbit.broker("q").connect()).close()
        with pytest.raises(BrokerAwayError, match="x-delivery-limit"):
            await rabbit.broker("q", options="&delivery-limit=5").connect()

    run(connect())


def test_a_queue_that_was_made_for_many_consumers_is_used_as_it_is_and_said(
    rabbit: RabbitMqStage, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        await (await rabbit.broker("q").connect()).close()
        async with await aio_pika.connect(rabbit.server_url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(rabbit.queue("q.dead"))
            arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
            await channel.declare_queue(rabbit.queue("q.dead"), durable=True, arguments=arguments)
        broker = rabbit.broker("q")
        for n in range(2):
            link = await broker.connect()
            await link.publish([make_event(n)])
            await receive(link, 1)
            await link.close()

    run(scenario())
    (told,) = [record for record in caplog.records if record.name == "eventbus.brokers"]
    assert f"the queue {rabbit.queue('q.dead')} was made without" in told.getMessage()


def test_of_two_links_one_receives_and_the_other_goes_on_where_that_one_ended(
    rabbit: RabbitMqStage,
) -> None:
    async def scenario() -> None:
        first, second = await rabbit.broker("q").connect(), await rabbit.broker("q").connect()
        await first.publish([make_event(n) for n in range(500)])
        begun = await receive(first, 30)
        assert numbers(begun) == list(range(len(begun)))
        assert await receive(second, 0, quiet_s=0.5) == []
        await first.close()
        rest = numbers(await receive(second, 500 - len(begun)))
        assert rest == list(range(len(begun), 500))
        await second.close()

    run(scenario())
