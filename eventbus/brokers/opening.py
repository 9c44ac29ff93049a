"""From an address to the adapter that speaks to it, with a clear word when a package is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from eventbus.brokers.address import BrokerAddress, check_broker_name
from eventbus.brokers.broker import Broker
from eventbus.brokers.encryption import tls_context
from eventbus.errors import BrokerAddressError, MissingPackageError
from eventbus.patterns import Pattern

_PACKAGES = {"rabbitmq": ("aio_pika", "aio-pika"), "kafka": ("confluent_kafka", "confluent-kafka")}


def check_installed(address: BrokerAddress) -> None:
    """Raise MissingPackageError, which names the extra, when the client is not installed."""
    module, package = _PACKAGES[address.kind]
    if importlib.util.find_spec(module) is None:
        raise MissingPackageError(
            f"{address.scheme}:// needs the package {package}, which is not installed: "
            f"pip install 'eventbus[{address.kind}]'"
        )


def check_usable(address: BrokerAddress) -> None:
    """``check_installed``, and that the files it names are there and hold what they should.

    Raises MissingPackageError, BrokerAddressError.
    """
    check_installed(address)
    tls_context(address)


def open_broker(
    address: BrokerAddress | str, *, name: str = "eventbus", take: Sequence[Pattern] = ()
) -> Broker:
    """The broker at ``address``; nothing is connected yet.

    ``name`` is that of the queue or consumer group; ``take`` are the types of events to receive,
    none without any. Raises BrokerAddressError, MissingPackageError.
    """
    check_broker_name(name)
    if not isinstance(address, BrokerAddress):
        try:
            address = BrokerAddress.parse(address)
        except BrokerAddressError as error:
            raise BrokerAddressError(f"the address of the broker: {error}") from None
    check_usable(address)
    if address.kind == "kafka":
        from eventbus.brokers.kafka import KafkaBroker

        return KafkaBroker(address, name, take)
    from eventbus.brokers.rabbitmq import RabbitMqBroker

    return RabbitMqBroker(address, name, take)
