"""Alerts on a real bus: grouping, decisions, lists, and mutes that end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from eventbus import EventBus
from handlers import Handlers
from tests.helpers.bus import LONG_S

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def tell(bus: EventBus, kind: str, at: datetime | None = None, **data: Any) -> None:
    bus.publish(f"alert.{kind}", data, time=at)
    assert bus.drain(LONG_S)


def test_the_same_error_is_one_alert_with_its_occurrences(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish_many(
        {"type": "alert.critical", "data": {"service": "s", "error": {"type": "X", "n": n}}}
        for n in range(50)
    )
    tell(bus, "warning", service="s", error={"type": "Y"})
    alerts = handlers.alerts.list().items
    assert [(a.error_type, a.occurrences, a.severity) for a in alerts] == [
        ("Y", 1, "warning"),
        ("X", 50, "critical"),
    ]
    assert alerts[1].error == {"type": "X", "n": 49}
    assert handlers.counters()["open_alerts"] == 2


def test_an_alert_is_acknowledged_resolved_and_regresses(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "critical", service="s", error={"type": "X"})
    id = handlers.alerts.open()[0].id
    tell(bus, "acknowledged", alert_id=id, by="ana")
    acknowledged = handlers.alerts.get(id)
    assert acknowledged is not None
    assert (acknowledged.state, acknowledged.by) == ("acknowledged", "ana")
    assert handlers.counters()["open_alerts"] == 0 and handlers.alerts.open() == []
    tell(bus, "resolved", alert_id=id, by="bo")
    assert [alert.id for alert in handlers.alerts.list("resolved").items] == [id]
    tell(bus, "critical", service="s", error={"type": "X"})
    assert [alert.state for alert in handlers.alerts.list("open").items] == ["regressed"]
    assert handlers.counters()["open_alerts"] == 1


def test_the_most_severe_come_first_among_what_is_open(bus: EventBus, handlers: Handlers) -> None:
    for kind, error in [("critical", "A"), ("info", "B"), ("warning", "C"), ("critical", "D")]:
        tell(bus, kind, service="s", error={"type": error})
    assert [alert.error_type for alert in handlers.alerts.open()] == ["D", "A", "C", "B"]
    assert len(handlers.alerts.open(limit=2)) == 2


def test_the_list_is_paged_without_holes(bus: EventBus, handlers: Handlers) -> None:
    for n in range(7):
        tell(bus, "critical", service="s", error={"type": f"E{chr(65 + n)}"})
    first = handlers.alerts.list(limit=4)
    second = handlers.alerts.list(limit=4, cursor=first.next)
    found = [alert.error_type for alert in [*first.items, *second.items]]
    assert found == [f"E{c}" for c in "GFEDCBA"]
    assert second.next is None


def test_a_decision_about_an_unknown_alert_is_no_failure(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "resolved", alert_id="alert-0000000000000000", by="ana")
    assert handlers.counters()["dead_letters"] == 0
    assert handlers.alerts.list().items == []


def test_a_mute_ends_by_itself_and_that_is_an_event(bus: EventBus, handlers: Handlers) -> None:
    tell(bus, "critical", NOON, service="s", error={"type": "X"})
    id = handlers.alerts.open()[0].id
    tell(bus, "muted", NOON, alert_id=id, mode="1h", by="ana")
    tell(bus, "critical", NOON + timedelta(minutes=5), service="s", error={"type": "X"})
    assert handlers.counters()["open_alerts"] == 0
    assert handlers.mute_watch.check(NOON + timedelta(minutes=59)) == 0
    assert handlers.mute_watch.check(NOON + timedelta(minutes=61)) == 1
    assert handlers.mute_watch.check(NOON + timedelta(minutes=61)) == 0
    assert bus.drain(LONG_S)
    assert [(alert.state, alert.occurrences) for alert in handlers.alerts.open()] == [("open", 2)]
    assert bus.log.types()[-1].type == "alert.unmuted"


def test_an_alert_that_is_muted_until_it_worsens_has_no_end_in_time(
    bus: EventBus, handlers: Handlers
) -> None:
    tell(bus, "warning", NOON, service="s", error={"type": "X"})
    id = handlers.alerts.open()[0].id
    tell(bus, "muted", NOON, alert_id=id, mode="worse", by="ana")
    assert handlers.mute_watch.check(NOON + timedelta(days=400)) == 0
    tell(bus, "critical", NOON, service="s", error={"type": "X"})
    assert handlers.counters()["open_alerts"] == 1
