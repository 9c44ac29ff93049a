"""The history of alerts: changes with who made them, occurrences, and their rhythm over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from eventbus import EventBus
from handlers import Handlers
from handlers.alert import history
from handlers.rebuild import rebuild
from tests.helpers.bus import LONG_S

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def tell(bus: EventBus, kind: str, at: datetime = NOON, **data: Any) -> None:
    bus.publish(f"alert.{kind}", data, time=at)
    assert bus.drain(LONG_S)


def occur(bus: EventBus, at: datetime = NOON, kind: str = "critical", **data: Any) -> None:
    tell(bus, kind, at, service="s", error={"type": "X"}, **data)


def changes(handlers: Handlers, id: str) -> list[tuple[str, str | None, str]]:
    return [(c.change, c.by, c.state) for c in reversed(handlers.alerts.history(id))]


def test_the_history_says_what_became_of_an_alert_and_who_decided(
    bus: EventBus, handlers: Handlers
) -> None:
    occur(bus, kind="warning")
    occur(bus, kind="warning")
    id = handlers.alerts.open()[0].id
    tell(bus, "acknowledged", alert_id=id, by="ana")
    occur(bus)  # critical is news even to who has the warning
    tell(bus, "muted", alert_id=id, by="bo", mode="1h")
    occur(bus, NOON + timedelta(hours=2))
    tell(bus, "resolved", alert_id=id, by="ana")
    tell(bus, "resolved", alert_id=id, by="bo")  # was resolved before: no change
    occur(bus, NOON + timedelta(hours=3))
    assert changes(handlers, id) == [
        ("raised", None, "open"),
        ("acknowledged", "ana", "acknowledged"),
        ("worsened", None, "open"),
        ("muted", "bo", "muted"),
        ("reopened", None, "open"),
        ("resolved", "ana", "resolved"),
        ("regressed", None, "regressed"),
    ]
    muted = handlers.alerts.history(id)[3]
    assert muted.until == NOON + timedelta(hours=1)


def test_too_many_occurrences_end_a_mute_until_it_worsens(
    bus: EventBus, handlers: Handlers
) -> None:
    occur(bus)
    id = handlers.alerts.open()[0].id
    tell(bus, "muted", alert_id=id, by="bo", mode="worse")
    for _ in range(10):
        occur(bus)
    assert [change for change, _, _ in changes(handlers, id)] == ["raised", "muted", "worsened"]


def test_the_rhythm_counts_every_occurrence_in_its_ten_minutes(
    bus: EventBus, handlers: Handlers
) -> None:
    for minutes, times in [(-200, 5), (-105, 1), (-15, 2), (0, 3)]:
        for _ in range(times):
            occur(bus, NOON + timedelta(minutes=minutes))
    id = handlers.alerts.open()[0].id
    by_hour = handlers.alerts.rhythm([id, "other"], NOON, columns=2, bucket_count=6)
    assert by_hour == {id: [1, 5], "other": [0, 0]}
    assert handlers.alerts.rhythm([id], NOON, columns=3)[id] == [2, 0, 3]
    assert sum(handlers.alerts.rhythm([id], NOON, columns=48, bucket_count=3)[id]) == 11


@pytest.mark.sqlite  # a thousand commits, one after the other
def test_the_past_of_an_alert_is_bounded_and_a_rebuild_gives_the_same(
    bus: EventBus, handlers: Handlers
) -> None:
    start = NOON - timedelta(days=9)
    bus.publish_many(
        {
            "type": "alert.info",
            "data": {"service": "s", "error": {"type": "X"}, "eval_id": f"e{n}"},
            "time": (start + timedelta(minutes=10 * n)).isoformat(),
        }
        for n in range(history.BUCKETS_KEPT + 150)
    )
    assert bus.drain(LONG_S)
    id = handlers.alerts.open()[0].id
    for n in range(history.CHANGES_KEPT // 2 + 20):
        bus.publish("alert.muted", {"alert_id": id, "mode": "1h"}, time=NOON)
        bus.publish("alert.unmuted", {"alert_id": id, "by": str(n)}, time=NOON)
    assert bus.drain(LONG_S)
    with bus.log.reading() as conn:
        rows = {
            table.name: len(conn.execute(select(table)).all())
            for table in (history.buckets, history.occurrences, history.changes)
        }
    assert rows == {
        "alert_buckets": history.BUCKETS_KEPT,
        "alert_occurrences": history.OCCURRENCES_KEPT,
        "alert_changes": history.CHANGES_KEPT,
    }
    newest = handlers.alerts.occurrences(id, 1)[0]
    assert newest.eval_id == f"e{history.BUCKETS_KEPT + 149}"
    assert rebuild(bus, is_check=True).run().differences == 0


def test_an_open_alert_that_has_been_silent_for_an_hour_is_quiet(
    bus: EventBus, handlers: Handlers
) -> None:
    now = datetime.now(UTC)
    tell(bus, "critical", now - timedelta(hours=2), service="s", error={"type": "Old"})
    tell(bus, "critical", now, service="s", error={"type": "New"})
    tell(bus, "critical", now - timedelta(hours=2), service="s", error={"type": "Done"})
    done = next(a for a in handlers.alerts.open() if a.error_type == "Done")
    tell(bus, "resolved", now, alert_id=done.id)
    assert [a.error_type for a in handlers.alerts.list(is_quiet=True).items] == ["Old"]
    assert {a.error_type: a.is_quiet for a in handlers.alerts.list().items} == {
        "Old": True, "New": False, "Done": False,
    }  # fmt: skip


def test_lists_are_filtered_by_severity_and_counted_by_state(
    bus: EventBus, handlers: Handlers
) -> None:
    for kind, error in [("critical", "A"), ("warning", "B"), ("warning", "C"), ("info", "D")]:
        tell(bus, kind, service="s", error={"type": error})
    for alert in handlers.alerts.list(severity="warning").items:
        tell(bus, "resolved", alert_id=alert.id)
        break
    found = handlers.alerts.list("open", severity="warning").items
    assert [a.error_type for a in found] == ["B"]
    assert [a.error_type for a in handlers.alerts.list(severity="info").items] == ["D"]
    assert handlers.alerts.counts() == {
        "open": 3, "acknowledged": 0, "resolved": 1, "muted": 0, "regressed": 0,
    }  # fmt: skip
