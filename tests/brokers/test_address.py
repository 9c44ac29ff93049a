"""EVENTBUS_BROKER_URL: what is taken, and what is said of what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings, SettingsError
from eventbus import EventBus, Pattern
from eventbus.brokers import Bridge, BrokerAddress, open_broker
from eventbus.errors import BrokerAddressError, MissingPackageError, PatternError
from tests.helpers.bus import open_bus
from tests.services.certificates import Certificates


def test_an_address_of_rabbitmq_is_read() -> None:
    address = BrokerAddress.parse(
        "amqp://me:p%40ss@rabbit.example.com/my%2Fhost?exchange=facts&prefetch=50"
    )
    assert (address.kind, address.hosts) == ("rabbitmq", (("rabbit.example.com", 5672),))
    assert (address.user, address.password, address.path) == ("me", "p@ss", "my/host")
    assert address.option("exchange", "events") == "facts"
    assert address.number("prefetch", 200) == 50
    assert address.number("heartbeat", 30) == 30
    assert address.shown == "amqp://rabbit.example.com:5672/my/host"


def test_an_address_of_kafka_is_read() -> None:
    address = BrokerAddress.parse("kafka://me:p@a,b:19092/prod?topic=facts&read=orders,clicks.v1")
    assert (address.kind, address.hosts) == ("kafka", (("a", 9092), ("b", 19092)))
    assert (address.user, address.password, address.path) == ("me", "p", "prod")
    assert address.option("read", "") == "orders,clicks.v1"
    assert address.shown == "kafka://a:9092,b:19092/prod"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must begin with"),
        ("http://localhost", "not with http://"),
        ("localhost:5672", "must begin with"),
        ("amqp://", "must name a host"),
        ("amqp://h:0/", "port below 65536"),
        ("amqp://h:65536/", "port below 65536"),
        ("amqp://h ost/", "must name a host"),
        ("amqp://a,b/", "one host"),
        ("amqp://h/?prefetch=0", "prefetch must be a whole number from 1 to 10000"),
        ("amqp://h/?prefetch=1&prefetch=2", "twice"),
        ("amqp://h/?exchange=a b", "exchange must be of"),
        ("amqp://h/?colour=red", "unknown option 'colour'; there are ca, cert, delivery-limit"),
        ("amqp://h/#part", "no #fragment"),
        ("amqp://[::1/", "is no URL"),
        ("kafka://h/my prefix", "prefix of topics"),
        ("kafka://h,/", "must name a host"),
        ("kafka://h/?read=a,,b", "read must be of"),
        ("kafka://h/?from=yesterday", "from must be now or beginning"),
        ("kafka://h/?partitions=0", "partitions must be a whole number from 1"),
        ("kafka://h/?exchange=x", "unknown option 'exchange'"),
        ("kafka://u:p@h/?sasl=GSSAPI", "sasl must be PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512"),
        ("kafka://h/?sasl=PLAIN", "sasl needs a login"),
        ("kafka://h/?ca=/ca.pem", r"ca is for kafka\+ssl://, not for kafka://"),
        ("amqp://h/?cert=/c.pem", "cert is for amqps://"),
        ("amqps://h/?key=/c.pem", "key needs cert"),
        ("amqps://h/?ca=", "ca must be the path of a file"),
    ],
)
def test_a_wrong_address_is_explained(text: str, problem: str) -> None:
    with pytest.raises(BrokerAddressError, match=problem):
        BrokerAddress.parse(text)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EventBus]:
    with open_bus(f"sqlite:///{tmp_path / 'events.db'}") as bus:
        yield bus


@pytest.mark.parametrize("address", ["amqp://", None])
def test_a_bridge_to_a_wrong_address_says_what_is_wrong(bus: EventBus, address: Any) -> None:
    with pytest.raises(BrokerAddressError, match="the address of the broker: must"):
        Bridge.to(bus, address, name="billing")


@pytest.mark.parametrize("scheme", ["amqp", "kafka"])
@pytest.mark.parametrize("name", ["", "a b\n", "x" * 101, None])
def test_what_cannot_name_a_queue_or_group_is_refused_at_once(
    bus: EventBus, scheme: str, name: Any
) -> None:
    with pytest.raises(BrokerAddressError, match="the name of the queue or consumer group must"):
        Bridge.to(bus, f"{scheme}://localhost", name=name, take=["#"])


def test_one_pattern_may_stand_alone_and_those_of_the_bus_itself_are_refused(
    bus: EventBus,
) -> None:
    bridge = Bridge.to(bus, "kafka://localhost", name="billing", take="order.*", send=Pattern("a"))
    assert (bridge._take, bridge._send) == ((Pattern("order.*"),), (Pattern("a"),))
    for option in ("send", "take"):
        with pytest.raises(PatternError, match=f"{option}='bus.*' is only what the bus says"):
            Bridge.to(bus, "kafka://localhost", name="billing", **{option: ["a", "bus.*"]})


def test_a_wrong_address_does_not_tell_its_password() -> None:
    with pytest.raises(BrokerAddressError) as raised:
        BrokerAddress.parse("amqp://me:secret@h:99999/")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["amqps", "kafka+ssl"])
def test_files_that_cannot_be_used_are_named(scheme: str, tmp_path: Path) -> None:
    own, other = Certificates(tmp_path / "own"), Certificates(tmp_path / "other")
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    for options, problem in (
        (f"ca={tmp_path / 'none.pem'}", r"ca: .*none\.pem: No such file"),
        (f"ca={empty}", r"ca: .*empty\.pem: there is no certificate in it"),
        (f"ca={own.ca}&cert={own.client}", r"cert: .*client\.pem: "),
        (f"cert={own.client}&key={other.client_key}", "the key is not that of the certificate"),
        (
            f"cert={own.client}&key={tmp_path / 'none.key'}",
            r"client\.pem with .*none\.key: No such",
        ),
    ):
        address = f"{scheme}://me:secret@h/?{options}"
        with pytest.raises(BrokerAddressError, match=problem) as raised:
            open_broker(address)
        assert "secret" not in str(raised.value)
        with pytest.raises(SettingsError, match=f"EVENTBUS_BROKER_URL cannot be used: .*{problem}"):
            Settings.from_environment({"EVENTBUS_BROKER_URL": address})


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for address, extra in (("amqp://localhost", "rabbitmq"), ("kafka://localhost", "kafka")):
        with pytest.raises(MissingPackageError, match=rf"pip install 'eventbus\[{extra}\]'"):
            open_broker(address)
