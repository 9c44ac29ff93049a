"""What the product itself publishes is declared, and keeps to what is declared of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.catalogue.types import TYPES as APP_TYPES
from app.demo.platform import Platform
from eventbus.catalogue import Catalogue, ModeRules
from eventbus.catalogue.own import TYPES as OWN_TYPES
from handlers import HandlerSettings, install
from handlers.rules import MetricRule
from handlers.types import TYPES
from tests.helpers.bus import open_bus


def strict() -> Catalogue:
    """Every built-in type enforced, and no others taken."""
    declared = [*OWN_TYPES, *TYPES, *APP_TYPES]
    return Catalogue(declared, rules=ModeRules.parse("# enforce"), unknown="refuse")


def test_the_demo_and_the_handlers_publish_nothing_that_is_not_declared(tmp_path: Path) -> None:
    catalogue = strict()
    rule = MetricRule.parse("# > 0 for warning")
    settings = replace(HandlerSettings(), announces_alerts=True, metric_rules=(rule,))
    platform = Platform(seed=7, rate=50.0, failure_rate=0.4, run="test")
    with open_bus(f"sqlite:///{tmp_path}/e.db", catalogue=catalogue) as bus:
        install(bus, settings)
        for _ in range(1_500):
            message = platform.next()
            if message is None:
                break
            bus.publish(message.type, message.data, source=message.source)
            if message.type == "evaluation.failed":
                number = message.data["retry_count"]
                kind, count = ("retry", number + 1) if number < 3 else ("exhausted", number)
                platform.hear(kind, message.data["eval_id"], count)
        assert bus.drain(60)
        assert bus.log.delivery_counts().get("dead", 0) == 0
        seen = {each.type for each in bus.log.types()}
    assert catalogue.tally.types() == []
    assert seen >= {
        "evaluation.retry", "cleanup.evaluation", "metrics.evaluation.started", "alert.critical",
        "alert.warning", "notification.request.alert", "queue.task.failed", "storage.file.created",
    }  # fmt: skip
    for type in seen:
        assert catalogue.find(type).compiled is not None, type


def test_what_people_do_with_the_bus_keeps_to_its_types(tmp_path: Path) -> None:
    with open_bus(f"sqlite:///{tmp_path}/e.db", catalogue=strict()) as bus:
        bus.subscribe("alert.*", lambda event: 1 / 0, name="fails", max_attempts=1)
        bus.publish("alert.info", {"service": "s", "error": "e"})
        assert bus.drain(20)
        bus.pauses.pause("fails", "ann", "why")
        bus.pauses.resume("fails", "ann")
        bus.publish("alert.info", {"service": "s", "error": "e"}, delay=60, id="later")
        assert bus.cancel("later", by="ann")
        catalogue = bus.catalogue
        assert catalogue is not None
        events = bus.log.read(0).events
        assert {"subscription.paused", "bus.schedule.cancelled"} <= {each.type for each in events}
        for event in events:
            assert catalogue.violations(event.type, event.data) == []
