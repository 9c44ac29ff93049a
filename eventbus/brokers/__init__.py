"""Message brokers: events are relayed to one with confirms, and taken in from it, both made once.

``RabbitMqBroker``, ``KafkaBroker`` and ``InProcessBroker`` are exchangeable (``Broker``); a
``Bridge`` connects one of them with a bus. See docs/brokers.md.
"""

from eventbus.brokers.address import BrokerAddress
from eventbus.brokers.bridge import Bridge, BridgeStatus
from eventbus.brokers.broker import Broker, Incoming, Link
from eventbus.brokers.opening import open_broker
from eventbus.brokers.relay import RELAY_NAME

__all__ = [
    "RELAY_NAME",
    "Bridge",
    "BridgeStatus",
    "Broker",
    "BrokerAddress",
    "Incoming",
    "Link",
    "open_broker",
]
