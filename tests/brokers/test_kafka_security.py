"""Kafka with TLS and logins: what passes, what is refused, and what is said; on the real server."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from eventbus import Pattern
from eventbus.brokers import open_broker
from eventbus.errors import BrokerAwayError
from tests.brokers.buses import WAIT_S
from tests.brokers.stages import make_event, numbers, receive, run
from tests.brokers.untrusted import check_it_is_said
from tests.services import Kafka
from tests.services.kafka import LOGIN
from tests.services.service import can_connect


@pytest.fixture
def server(kafka: Kafka) -> Kafka:
    if not can_connect(int(kafka.at("secure").partition(":")[2])):
        pytest.skip("Kafka was started without TLS and logins: `make services-stop services`")
    return kafka


def add_user(server: Kafka, mechanism: str) -> tuple[str, str]:
    """A user of SCRAM, which Kafka keeps in the cluster; name and password."""
    name, password = f"u{uuid4().hex[:8]}", "p@ss:word/1"
    admin = AdminClient({"bootstrap.servers": server.url.removeprefix("kafka://")})
    info = ScramCredentialInfo(ScramMechanism[mechanism.replace("-", "_")], 4096)
    change = UserScramCredentialUpsertion(name, info, password.encode())
    admin.alter_user_scram_credentials([change])[name].result(WAIT_S)
    return name, password


def events_pass(url: str) -> None:
    topic = f"t{uuid4().hex[:12]}"
    broker = open_broker(f"{url}topic={topic}", name=topic, take=[Pattern("#")])

    async def scenario() -> None:
        link = await broker.connect()
        await link.publish([make_event(n) for n in range(50)])
        assert sorted(numbers(await receive(link, 50))) == list(range(50))
        await link.close()

    run(scenario())


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["login", "secure"])
def test_events_pass_with_a_login(server: Kafka, listener: str, mechanism: str) -> None:
    user, password = LOGIN if mechanism == "PLAIN" else add_user(server, mechanism)
    quoted = password.replace("@", "%40").replace(":", "%3A").replace("/", "%2F")
    scheme, ca = ("kafka+ssl", f"ca={server.certificates.ca}&") if listener == "secure" else (
        "kafka", "",
    )  # fmt: skip
    asked = "" if mechanism == "PLAIN" else f"sasl={mechanism}&"
    events_pass(f"{scheme}://{user}:{quoted}@{server.at(listener)}/?{asked}{ca}")


def test_events_pass_with_a_certificate_of_the_client(server: Kafka) -> None:
    files = server.certificates
    where = f"kafka+ssl://{server.at('mutual')}/?ca={files.ca}&"
    events_pass(f"{where}cert={files.client}&key={files.client_key}&")
    # Both in one file is usual, too.
    both = files.client.with_name("client-both.pem")
    both.write_bytes(files.client.read_bytes() + files.client_key.read_bytes())
    events_pass(f"{where}cert={both}&")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_said_soon_and_not_repeated(
    server: Kafka, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = open_broker(
        f"kafka://app:wr0ng-word@{server.at('login')}/?sasl={mechanism}", take=[Pattern("#")]
    )

    async def connect() -> None:
        with pytest.raises(BrokerAwayError, match="(?i)authentication failed") as raised:
            await broker.connect()
        assert "wr0ng-word" not in str(raised.value) + broker.shown + caplog.text

    run(connect())


def test_a_server_whose_certificate_is_not_trusted_is_refused_and_said(
    server: Kafka, tmp_path: Path
) -> None:
    ca = server.certificates.other_ca
    check_it_is_said(
        tmp_path, f"kafka+ssl://app:s3cret-of-app@{server.at('secure')}/?ca={ca}", LOGIN[1]
    )
