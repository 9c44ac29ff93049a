"""The clients outside handlers: in plain threads and in coroutines."""

from __future__ import annotations

import asyncio

from eventbus import EventBus
from handlers import HandlerSettings, MonitoringClient, StorageClient, install
from tests.helpers.bus import LONG_S


def test_in_a_plain_thread_a_call_has_taken_effect_when_it_returns(bus: EventBus) -> None:
    monitoring, storage = MonitoringClient(bus), StorageClient(bus)
    monitoring.increment("tokens", 10)
    monitoring.decrement("tokens", 4)
    monitoring.record("load", 0.5, unit="%")
    storage.store_result("e1", [1, 2])
    storage.file_created("a.eval", 12, eval_id="e1")
    assert bus.drain(LONG_S)
    assert monitoring.value("tokens").wait() == 6
    assert monitoring.value("load").wait() == 0.5
    assert monitoring.value("never").wait() is None
    assert storage.get_result("e1").wait() == [1, 2]
    assert storage.get_result("e2").wait() is None
    assert install(bus).files.totals("e1").bytes == 12


def test_in_a_coroutine_every_call_can_be_awaited(bus: EventBus) -> None:
    monitoring, storage = MonitoringClient(bus), StorageClient(bus)

    async def work() -> None:
        await asyncio.gather(*(_one(monitoring) for _ in range(50)))
        await storage.store_result("e1", None)

    async def _one(client: MonitoringClient) -> None:
        await client.increment("tokens")

    asyncio.run(work())
    assert bus.drain(LONG_S)

    async def look() -> tuple[float | None, object]:
        return await monitoring.value("tokens"), await storage.get_result("e1")

    assert asyncio.run(look()) == (50, None)


def test_everything_a_client_changes_is_in_the_log(bus: EventBus) -> None:
    MonitoringClient(bus).increment("tokens", 2)
    StorageClient(bus).store_result("e1", 1)
    types = {seen.type for seen in bus.log.types()}
    assert types == {"monitoring.metric.incremented", "storage.result.stored"}


def test_making_clients_and_installing_again_subscribes_nothing_twice(bus: EventBus) -> None:
    for _ in range(2):
        MonitoringClient(bus)
        StorageClient(bus)
        install(bus, HandlerSettings(metric_rules=("m > 1 for critical",)))
    names = [each.name for each in bus.subscriptions()]
    assert sorted(names) == ["alert", "evaluation", "monitoring", "queue", "storage", "view"]
    MonitoringClient(bus).record("m", 2)
    assert bus.drain(LONG_S)
    assert install(bus).alerts.open_count() == 1
