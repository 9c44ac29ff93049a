"""A service beside the bus, with a queue of its own: one invoice for each paid order, never two.

    pip install 'eventbus[rabbitmq]'
    python docs/examples/billing_service.py amqp://localhost billing.db billing

The queue (Kafka: the consumer group) is bound by ``order.*``. What comes is recorded in the file,
then acknowledged; the invoice is recorded in the transaction that says that the order was handled.
So the process may be killed at any time.
"""

from __future__ import annotations

import signal
import sys

from eventbus import Event, EventBus
from eventbus.brokers import Bridge


def main() -> None:
    url, file, queue = sys.argv[1:]
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: sys.exit())
    bus = EventBus.open(f"sqlite:///{file}", source="/billing")
    bridge = Bridge.to(bus, url, name=queue, take=["order.*"], send=["invoice.*"])

    @bus.on("order.paid", name="bill")
    def bill(event: Event) -> None:
        bus.publish("invoice.made", {"order": event["order"]}, subject=event.subject)

    with bus, bridge:
        bridge.wait_connected()
        print("billing has begun", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
