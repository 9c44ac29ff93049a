"""Services with queues of their own at one broker: each gets what its patterns say, once."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from eventbus.brokers import Bridge
from tests.brokers.buses import WAIT_S, joined
from tests.brokers.stages import InProcessStage, KafkaStage, RabbitMqStage, Stage
from tests.brokers.survival import RECOVERY_S
from tests.helpers.server import ROOT
from tests.helpers.waiting import wait_until
from tests.services import RabbitMq

ORDERS = 500
RealStage = RabbitMqStage | KafkaStage


def test_what_two_services_make_of_one_event_by_the_same_name_are_two_events(
    tmp_path: Path,
) -> None:
    stage = InProcessStage()
    with (
        joined(stage, tmp_path, "shop", send=["#"], take=["made.*"]) as (shop,),
        joined(stage, tmp_path, "one", "two", send=["made.*"], take=["order.*"]) as services,
    ):
        for number, service in enumerate(services):
            # Not started: what a bus is called does not depend on its broker.
            Bridge.to(service.bus, "amqp://localhost", name=f"service-{number}")
            made = partial(service.bus.publish, "made.it", {"n": number})
            service.bus.subscribe("order.paid", lambda event, made=made: made(), name="make")
        shop.bus.publish("order.paid")
        shop.seen.wait_for(3, WAIT_S)
        made = [event for event in shop.seen.events if event.type == "made.it"]
        assert {event.source for event in made} == {"/handlers/make"}
        assert sorted(event["n"] for event in made) == [0, 1]


def test_each_bus_gets_what_its_own_patterns_say(stage: Stage, tmp_path: Path) -> None:
    with (
        joined(stage, tmp_path, "shop", send=["#"], take=["invoice.*"]) as (shop,),
        joined(stage, tmp_path, "billing", send=["invoice.*"], take=["order.*"]) as (billing,),
        joined(stage, tmp_path, "mail", send=[], take=["user.#", "invoice.*"]) as (mail,),
    ):
        billing.bus.subscribe(
            "order.paid", lambda event: billing.bus.publish("invoice.made"), name="bill"
        )
        for type in ("order.paid", "user.added", "user", "other.thing"):
            shop.bus.publish(type)
        shop.seen.wait_for(5, WAIT_S)
        mail.seen.wait_for(3, WAIT_S)
        billing.seen.wait_for(2, WAIT_S)
        assert shop.bus.drain(WAIT_S) and mail.bus.drain(WAIT_S) and billing.bus.drain(WAIT_S)
        assert {e.type for e in billing.seen.events} == {"order.paid", "invoice.made"}
        assert {e.type for e in mail.seen.events} == {"user", "user.added", "invoice.made"}
        (invoice,) = (e for e in shop.seen.events if e.type == "invoice.made")
        (order,) = (e for e in shop.seen.events if e.type == "order.paid")
        assert (invoice.source, invoice.causationid) == ("/handlers/bill", order.id)


def test_on_rabbitmq_that_is_a_queue_bound_by_the_patterns(
    rabbitmq: RabbitMq, tmp_path: Path
) -> None:
    stage = RabbitMqStage(rabbitmq.url)
    try:
        with joined(stage, tmp_path, "mail", send=[], take=["user.#", "invoice.*"]):
            rows = rabbitmq.ctl(
                "list_bindings", "source_name", "destination_name", "routing_key"
            ).splitlines()
            bound = [row.split("\t")[1:] for row in rows if row.startswith(f"{stage.prefix}\t")]
            queue = stage.queue("mail")
            assert sorted(bound) == [[queue, "invoice.*.#"], [queue, "user.#"]]
    finally:
        stage.close()


@contextmanager
def service(stage: RealStage, file: Path) -> Iterator[subprocess.Popen[str]]:
    """The service of the documentation."""
    name = (stage.queue if isinstance(stage, RabbitMqStage) else stage.group)("billing")
    command = [sys.executable, "docs/examples/billing_service.py", stage.url, str(file), name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "billing has begun\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stage", ["rabbitmq", "kafka"], indirect=True)
def test_the_service_of_the_documentation_is_killed_and_bills_every_order_once(
    stage: RealStage, tmp_path: Path
) -> None:
    stage.broker("billing")  # so that its queue is cleared away
    file = tmp_path / "billing.db"
    with joined(stage, tmp_path, "shop") as (shop,):
        with service(stage, file) as process:
            shop.bus.publish("order.paid", {"order": -1}).wait()
            shop.seen.wait_for(2, WAIT_S)  # it listens
            process.terminate()
            assert process.wait(WAIT_S) == 0
        shop.bus.publish_many(
            {"type": "order.paid", "data": {"order": n}, "subject": f"s{n % 8}"}
            for n in range(ORDERS)
        )

        def invoices() -> dict[int, set[str]]:
            found: dict[int, set[str]] = defaultdict(set)
            for event in shop.seen.events:
                if event.type == "invoice.made":
                    found[event["order"]].add(event.id)
            return found

        with service(stage, file):  # killed in the middle of what comes
            wait_until(lambda: len(invoices()) > 50, "some are billed", RECOVERY_S)
        with service(stage, file) as process:
            wait_until(lambda: len(invoices()) == ORDERS + 1, "all are billed", RECOVERY_S)
            if isinstance(stage, KafkaStage):
                wait_until(lambda: uncommitted(stage) == 0, "all is acknowledged", RECOVERY_S)
        assert {len(ids) for ids in invoices().values()} == {1}
        assert shop.seen.values("order").count(-1) == 2


def uncommitted(stage: KafkaStage) -> int:
    """How many messages of the topic the service's group has not acknowledged."""
    consumer = Consumer({
        "bootstrap.servers": stage.server_url.removeprefix("kafka://"),
        "group.id": stage.group("billing"),
    })  # fmt: skip
    places = [TopicPartition(stage.topic, number) for number in range(3)]
    ends = [consumer.get_watermark_offsets(place, timeout=WAIT_S)[1] for place in places]
    committed = [place.offset for place in consumer.committed(places, timeout=WAIT_S)]
    consumer.close()
    return sum(ends) - sum(committed)
