"""Kafka as services without our code see it, existing topics, and what a partition does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventbus import Event, Pattern
from eventbus.brokers import open_broker
from eventbus.errors import BrokerAwayError
from tests.brokers.buses import WAIT_S, Joined, joined
from tests.brokers.stages import KafkaStage, make_event, opened, receive, run
from tests.helpers.server import ROOT
from tests.helpers.waiting import wait_until
from tests.services import Kafka


@pytest.fixture
def stage(kafka: Kafka) -> Iterator[KafkaStage]:
    with opened(KafkaStage(kafka.url)) as made:
        yield made


def server_of(stage: KafkaStage) -> dict[str, Any]:
    return {"bootstrap.servers": stage.server_url.removeprefix("kafka://")}


def produce(stage: KafkaStage, topic: str, *messages: dict[str, Any]) -> None:
    """As a service without our code does it."""
    producer = Producer(server_of(stage))
    for message in messages:
        producer.produce(topic, **message)
    assert producer.flush(WAIT_S) == 0


def test_a_service_without_our_code_reads_cloudevents(stage: KafkaStage, tmp_path: Path) -> None:
    made = Event.create(
        "test.made", {"n": 1, "text": "ü"}, source="/here", subject="s-1",
        time="2026-11-24T09:30:00Z",
    )  # fmt: skip
    with joined(stage, tmp_path, "a") as (a,):
        a.bus.publish_event(made)
        consumer = Consumer({
            **server_of(stage), "group.id": stage.group("other"), "auto.offset.reset": "earliest",
        })  # fmt: skip
        consumer.subscribe([stage.topic])
        message = wait_until(lambda: consumer.poll(0.5), "it comes", WAIT_S)
        consumer.close()
    assert message.error() is None
    headers = dict(message.headers())
    assert message.key() == b"s-1"
    assert json.loads(message.value()) == {"n": 1, "text": "ü"}
    assert headers["content-type"] == b"application/json"
    assert headers["ce_id"] == made.id.encode()
    assert headers["ce_time"] == b"2026-11-24T09:30:00.000000Z"
    # The SDK of CloudEvents reads the same.
    read = from_kafka_event(
        KafkaMessage(headers=headers, key=message.key(), value=message.value()), JSONFormat()
    )
    assert (read.get_type(), read.get_source(), read.get_subject()) == ("test.made", "/here", "s-1")
    assert read.get_data() == {"n": 1, "text": "ü"}


def test_a_service_without_our_code_publishes_in_whichever_form(
    stage: KafkaStage, tmp_path: Path
) -> None:
    envelope = {"specversion": "1.0", "source": "/shop", "type": "order.paid"}

    def structured(id: str, n: int) -> bytes:
        return json.dumps({**envelope, "id": id, "data": {"n": n}}).encode()

    with joined(stage, tmp_path, "a") as (a,):
        produce(
            stage, stage.topic,
            {"value": b'{"n":1}', "headers": {
                **{f"ce_{name}": value for name, value in envelope.items()}, "ce_id": "1",
                "content-type": "application/json",
            }},
            {"value": structured("2", 2), "headers": {
                "content-type": "application/cloudevents+json; charset=UTF-8",
            }},
            {"value": structured("3", 3), "key": b"k"},
            {"value": b"\x00 no event", "key": b"k"},
        )  # fmt: skip
        seen = sorted(a.seen.wait_for(4, WAIT_S), key=lambda event: event.id)
        assert [(event.type, event.get("n")) for event in seen[:3]] == [
            ("order.paid", 1), ("order.paid", 2), ("order.paid", 3),
        ]  # fmt: skip
        assert seen[3].type == "bus.intake.rejected"
        assert seen[3].source.startswith(f"/kafka/{stage.topic}-")
        assert seen[3]["body_base64"] == "ACBubyBldmVudA=="


def test_an_existing_topic_is_read_from_its_beginning_whatever_its_messages_are(
    stage: KafkaStage, tmp_path: Path
) -> None:
    topic = f"{stage.topic}.Orders_v1"
    admin = AdminClient(server_of(stage))
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(WAIT_S)
    produce(
        stage, topic,
        {"value": b'{"total": 5}', "key": b"customer-1", "timestamp": 1_763_976_600_000},
        {"value": b"plain text"},
        {"value": None, "key": b"customer-1"},
    )  # fmt: skip
    broker = stage.broker("a", options=f"&read={topic}&from=beginning")
    a = Joined(stage, tmp_path, "a", broker=broker)
    try:
        seen = sorted(a.seen.wait_for(3, WAIT_S), key=lambda event: event.id)
        assert [event.id for event in seen] == [f"{topic}-0-{n}" for n in range(3)]
        assert {(event.type, event.source) for event in seen} == {(topic, f"/kafka/{topic}")}
        assert [event.subject for event in seen] == ["customer-1", topic, "customer-1"]
        assert [event.data for event in seen] == [{"total": 5}, {"text": "plain text"}, {}]
        assert seen[0].time.isoformat() == "2025-11-24T09:30:00+00:00"
        assert a.relay_state() == (0, 0)
    finally:
        a.close()


def test_a_topic_that_is_not_there_is_warned_of_and_read_when_it_appears(
    stage: KafkaStage, tmp_path: Path
) -> None:
    topic, other = f"{stage.topic}.late", f"{stage.topic}.there"
    admin = AdminClient(server_of(stage))
    admin.create_topics([NewTopic(other, 1, 1)])[other].result(WAIT_S)
    a = Joined(stage, tmp_path, "a", broker=stage.broker("a", options=f"&read={topic},{other}"))

    def types() -> set[str]:
        return {event.type for event in a.seen.wait_for(0)}

    try:
        assert a.bridge.wait_connected(WAIT_S)
        a.bus.publish("test.sent", {"n": 1})
        with joined(stage, tmp_path, "b") as (b,):
            wait_until(lambda: topic in (a.bridge.status().warning or ""), "it is said", WAIT_S)
            assert other not in (a.bridge.status().warning or "")
            (trouble,) = [t for t in a.bus.troubles() if t.part == "broker"]
            assert (trouble.severity, topic in trouble.detail) == ("warning", True)
            a.wait_sent(1)
            b.bus.publish("test.other", {"n": 2})  # the bus's own topic is read all the same
            wait_until(lambda: "test.other" in types(), "it is taken in", WAIT_S)
        produce(stage, other, {"value": b'{"n": 3}'})
        wait_until(lambda: other in types(), "and so is the other topic", WAIT_S)
        assert (a.bridge.status().state, a.relay_state()) == ("connected", (0, 0))

        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(WAIT_S)
        produce(stage, topic, {"value": b'{"n": 4}'})
        wait_until(lambda: topic in types(), "it is read", 2 * WAIT_S)
        wait_until(lambda: a.bridge.status().warning is None, "that it is there", WAIT_S)
        assert a.bridge.status().state == "connected"
        assert [t for t in a.bus.troubles() if t.part == "broker"] == []
    finally:
        a.close()


def test_a_new_group_begins_with_what_comes_from_now_on(stage: KafkaStage) -> None:
    async def scenario() -> None:
        first = await stage.broker("first").connect()
        await first.publish([make_event(n) for n in range(10)])
        late = await stage.broker("late").connect()
        await first.publish([make_event(10)])
        assert [event["n"] for event in await receive(late, 1)] == [10]
        for link in (first, late):
            await link.close()

    run(scenario())


def test_what_is_too_large_for_the_server_is_refused_and_the_others_are_not(
    stage: KafkaStage,
) -> None:
    async def scenario() -> None:
        link = await stage.broker("q").connect()
        large = make_event(1, data={"text": "x" * 3_000_000}, max_bytes=4_000_000)
        refused = await link.publish([make_event(0), large, make_event(2)])
        assert list(refused) == [1]
        assert "too large" in refused[1]
        assert sorted(event["n"] for event in await receive(link, 2)) == [0, 2]
        await link.close()

    run(scenario())


def test_who_comes_into_the_group_takes_its_share_and_nothing_is_lost(
    stage: KafkaStage, tmp_path: Path
) -> None:
    async def scenario() -> None:
        first = await stage.broker("q").connect()
        await receive(first, 0, quiet_s=3.0)
        second = await stage.broker("q").connect()
        sender = await stage.broker(take=()).connect()
        seen: dict[str, set[int]] = {"first": set(), "second": set()}
        n = 0
        while not (seen["first"] and seen["second"]) or len(seen["first"] | seen["second"]) < n:
            if n < 600 or not all(seen.values()):  # a slow machine takes its time to share anew
                await sender.publish([make_event(i) for i in range(n, n + 20)])
                n += 20
            for name, link in (("first", first), ("second", second)):
                seen[name] |= {e["n"] for e in await receive(link, 0, quiet_s=0.2)}
        for link in (first, second, sender):
            await link.close()

    run(scenario())


def test_a_program_that_ends_without_closing_its_bridge_ends_in_silence(stage: KafkaStage) -> None:
    program = (
        "import logging, sys\n"
        "from eventbus import EventBus\n"
        "from eventbus.brokers import Bridge\n"
        "logging.basicConfig(level=logging.WARNING)\n"
        "bus = EventBus.open('sqlite://')\n"
        "bridge = Bridge.to(bus, sys.argv[1], name=sys.argv[2], send=['*'], take=['#'])\n"
        "bridge.start()\n"
        f"assert bridge.wait_connected({WAIT_S})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, stage.url, stage.group("a")],
        capture_output=True, text=True, timeout=2 * WAIT_S, cwd=ROOT,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_server_that_is_not_there_is_said() -> None:
    broker = open_broker("kafka://me:secret@127.0.0.1:1", take=[Pattern("#")])

    async def connect() -> None:
        with pytest.raises(BrokerAwayError) as raised:
            await broker.connect()
        assert "secret" not in str(raised.value) + broker.shown

    run(connect())
