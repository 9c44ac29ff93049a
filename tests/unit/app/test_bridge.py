"""The connection to a broker as the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings
from app.runtime import open_bridge
from eventbus import EventBus
from eventbus.brokers import RELAY_NAME, BrokerAddress


@pytest.mark.parametrize(("sends", "left"), [("none", []), ("a.*", [RELAY_NAME])])
def test_nothing_is_kept_for_a_broker_that_is_to_get_nothing(
    tmp_path: Path, sends: str, left: list[str]
) -> None:
    settings = Settings.from_environment(
        {"EVENTBUS_BROKER_URL": "amqp://localhost", "EVENTBUS_BROKER_SEND": sends}
    )
    assert isinstance(settings.broker, BrokerAddress)
    with EventBus.open(f"sqlite:///{tmp_path}/e.db") as bus:
        bus.subscribe("#", lambda event: None, name=RELAY_NAME)
        bus.detach(RELAY_NAME)  # as after a start
        open_bridge(bus, settings)
        assert [stored.name for stored in bus.log.subscribers()] == left
