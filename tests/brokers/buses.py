"""Buses that are connected to a stage's broker, for tests of the bridge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from eventbus import EventBus, Pattern
from eventbus.brokers import Bridge, Broker
from tests.brokers.stages import MAX_BYTES, Stage
from tests.helpers.bus import Recorder, open_bus
from tests.helpers.waiting import wait_until

WAIT_S = 30.0


class Joined:
    """A bus with a bridge to the stage, and a recorder of all that it handles."""

    def __init__(
        self, stage: Stage, folder: Path, name: str, *, broker: Broker | None = None,
        send: Sequence[str] = ("#",), take: Sequence[str] = ("#",), max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self.bus: EventBus = open_bus(
            f"sqlite:///{folder / name}.db", source=f"/{name}", max_event_bytes=max_bytes
        )
        self.seen = Recorder()
        self.bus.subscribe("#", self.seen, name="seen")
        self.bridge = Bridge(
            self.bus, broker or stage.broker(name, take),
            send=[Pattern(text) for text in send], take=[Pattern(text) for text in take],
            max_event_bytes=max_bytes,
        )  # fmt: skip
        self.bridge.start()

    def wait_connected(self) -> None:
        wait_until(lambda: self.bridge.status().state == "connected", "it is connected", WAIT_S)

    def wait_sent(self, count: int) -> None:
        wait_until(lambda: self.bridge.status().sent >= count, f"{count} were sent", WAIT_S)

    def relay_state(self) -> tuple[int, int]:
        """What waits to be sent, and what was given up."""
        (found,) = (each for each in self.bus.subscriptions() if each.name == "broker-relay")
        return found.lag, found.dead

    def close(self) -> None:
        self.bridge.close()
        self.bus.close()


@contextlib.contextmanager
def joined(stage: Stage, folder: Path, *names: str, **options: object) -> Iterator[list[Joined]]:
    """Connected buses by these names, closed at the end."""
    buses: list[Joined] = []
    try:
        for name in names:
            buses.append(Joined(stage, folder, name, **options))  # type: ignore[arg-type]
        for each in buses:
            each.wait_connected()
        yield buses
    finally:
        for each in buses:
            each.close()
