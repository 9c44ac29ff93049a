"""Kafka's login and what it may not do: said by what has to be allowed; on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from eventbus.brokers import Bridge, open_broker
from eventbus.patterns import Pattern
from tests.brokers.buses import WAIT_S
from tests.helpers.bus import Recorder, open_bus
from tests.helpers.waiting import wait_until
from tests.services import Kafka
from tests.services.kafka import LOGIN
from tests.services.service import can_connect


class Rights:
    """What is kept for nobody on the server, with topics to keep; all is gone in the end."""

    def __init__(self, server: Kafka) -> None:
        self.server = server
        self._address = server.url.removeprefix("kafka://")
        self._admin = AdminClient({"bootstrap.servers": self._address})
        self._topics: list[str] = []
        self._kept: list[tuple[ResourceType, str]] = []

    def topic(self) -> str:
        name = f"t{uuid4().hex[:12]}"
        self._admin.create_topics([NewTopic(name, 1)])[name].result(WAIT_S)
        self._topics.append(name)
        return name

    def send(self, topic: str, *texts: str) -> None:
        producer = Producer({"bootstrap.servers": self._address})
        for text in texts:
            producer.produce(topic, text.encode())
        assert producer.flush(WAIT_S) == 0

    def keep(self, kind: ResourceType, name: str, *operations: AclOperation) -> None:
        """From now on nobody may do these with it, or anything."""
        for operation in operations or (AclOperation.ALL,):
            asked = AclBinding(
                kind, name, ResourcePatternType.LITERAL, f"User:{LOGIN[0]}", "*", operation,
                AclPermissionType.DENY,
            )  # fmt: skip
            self._admin.create_acls([asked])[asked].result(WAIT_S)
        # And all may do what is left, without which nobody could.
        rest = AclBinding(
            kind, name, ResourcePatternType.LITERAL, "User:*", "*", AclOperation.ALL,
            AclPermissionType.ALLOW,
        )  # fmt: skip
        self._admin.create_acls([rest])[rest].result(WAIT_S)
        self._kept.append((kind, name))

    def give(self, kind: ResourceType, name: str) -> None:
        every = AclBindingFilter(
            kind, name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY,
            AclPermissionType.ANY,
        )  # fmt: skip
        self._admin.delete_acls([every])[every].result(WAIT_S)
        self._kept.remove((kind, name))

    def close(self) -> None:
        for kind, name in list(self._kept):
            self.give(kind, name)
        for done in self._admin.delete_topics(self._topics).values() if self._topics else ():
            done.result(WAIT_S)


@pytest.fixture
def rights(kafka: Kafka) -> Iterator[Rights]:
    if not can_connect(int(kafka.at("login").partition(":")[2])):
        pytest.skip("Kafka was started without logins: `make services-stop services`")
    rights = Rights(kafka)
    try:
        probe = f"t{uuid4().hex[:12]}"
        rights.keep(ResourceType.TOPIC, probe)
        rights.give(ResourceType.TOPIC, probe)
    except KafkaException as error:
        pytest.skip(f"Kafka was started without rights: `make services-stop services` ({error})")
    yield rights
    rights.close()


class App:
    """A bus that is bridged to Kafka with the login."""

    def __init__(
        self, rights: Rights, folder: Path, group: str, topic: str, read: str = ""
    ) -> None:
        user, password = LOGIN
        asked = f"&read={read}" if read else ""
        broker = open_broker(
            f"kafka://{user}:{password}@{rights.server.at('login')}/?topic={topic}{asked}",
            name=group, take=[Pattern("#")],
        )  # fmt: skip
        self.seen = Recorder()
        with ExitStack() as opened:
            self.bus = opened.enter_context(open_bus(f"sqlite:///{folder}/e.db", source="/app"))
            self.bus.subscribe("#", self.seen, name="seen")
            self.bridge = Bridge(self.bus, broker, send=[Pattern("own.#")], take=[Pattern("#")])
            opened.callback(self.bridge.close)
            self.bridge.start()
            self._opened = opened.pop_all()

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def trouble(self) -> str:
        return "".join(each.detail for each in self.bridge.troubles())

    def wait_connected_after(self, since: datetime) -> None:
        def is_anew() -> bool:
            status = self.bridge.status()
            return status.state == "connected" and status.since > since

        wait_until(is_anew, "it is connected again", WAIT_S)

    def wait_for_trouble(self, text: str) -> None:
        wait_until(lambda: text in self.trouble(), text, WAIT_S)


def test_a_topic_that_may_not_be_read_is_named_and_the_others_are_read(
    rights: Rights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, good, denied = rights.topic(), rights.topic(), rights.topic()
    rights.keep(ResourceType.TOPIC, denied, AclOperation.READ)
    with App(rights, tmp_path, f"g{own}", own, read=f"{good},{denied}") as app:
        said = f"the login may not read the topic {denied}: it needs READ on it"
        app.wait_for_trouble(said)
        assert (app.bridge.status().state, app.bridge.status().warning) == ("connected", said)
        assert said in caplog.text and "is away" not in app.trouble()
        rights.send(good, '{"n": 1}')
        app.seen.wait_for(1, WAIT_S)
        app.bus.publish("own.thing").wait()
        wait_until(lambda: app.bridge.status().sent == 1, "it is sent", WAIT_S)
        # Once it is allowed it is read, from then on: that is how a group begins.
        rights.send(denied, '{"n": "before"}')
        before = app.bridge.status().since
        rights.give(ResourceType.TOPIC, denied)
        app.wait_connected_after(before)
        assert app.trouble() == ""
        rights.send(denied, '{"n": "after"}')
        wait_until(lambda: "after" in app.seen.values("n"), "it is read", WAIT_S)
        assert "before" not in app.seen.values("n")


def test_a_group_that_is_denied_is_named_and_no_broker_is_away(
    rights: Rights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = rights.topic()
    group = f"g{topic}"
    rights.keep(ResourceType.GROUP, group)
    with App(rights, tmp_path, group, topic) as app:
        said = f"the login may not be in the consumer group {group}: it needs READ on that group"
        app.wait_for_trouble(f"refuses what is needed: {said}")
        wait_until(lambda: f"refuses what is needed: {said}" in caplog.text, "it is logged")
        assert "is away" not in caplog.text


def test_a_topic_that_may_not_be_written_to_is_named(rights: Rights, tmp_path: Path) -> None:
    topic = rights.topic()
    rights.keep(ResourceType.TOPIC, topic, AclOperation.WRITE)
    with App(rights, tmp_path, f"g{topic}", topic) as app:
        app.bus.publish("own.thing").wait()
        app.wait_for_trouble(f"may not write to the topic {topic}: it needs WRITE on it")
        assert "refuses what is needed" in app.trouble()
