"""Events that move every read model, and all rows of all read models, to compare them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from sqlalchemy import select

from eventbus import EventBus
from eventbus.replay import ReplayBus
from handlers import HandlerSettings
from handlers.tables import metadata

SETTINGS = HandlerSettings(max_retries=2, metric_rules=("m0 > 5 for critical",))

ids = st.sampled_from(["e1", "e2", "e3"])
numbers = st.none() | st.integers(0, 3)
errors = st.sampled_from([{"type": "X", "severity": "critical"}, {"type": "Y"}, "broken", None])


def event(type: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(type), "data": st.fixed_dictionaries(fields)})


events = st.one_of(
    event("evaluation.started", eval_id=ids, retry_count=numbers, task=st.just("t")),
    event("evaluation.progress", eval_id=ids, done=st.integers(0, 9), total=st.just(9)),
    event("evaluation.completed", eval_id=ids, result=st.integers()),
    event("evaluation.failed", eval_id=ids, retry_count=numbers, error=errors),
    event("evaluation.stalled", eval_id=ids),
    event("evaluation.cancelled", eval_id=ids, by=st.just("ana")),
    event("evaluation.retry", eval_id=ids, retry_count=numbers, by=st.just("ana")),
    event("evaluation.exhausted", eval_id=ids, retry_count=numbers),
    event("evaluation.dismissed", eval_id=ids, by=st.just("ann"), reason=st.just("known")),
    event("queue.task.added", task_id=ids),
    event("queue.task.started", task_id=ids),
    event("queue.task.processed", task_id=ids),
    event("queue.task.failed", task_id=ids, attempt=st.integers(1, 2)),
    event("monitoring.metric.recorded", metric=st.just("m0"), value=st.integers(0, 9)),
    event("monitoring.metric.incremented", metric=st.just("m1"), by=st.integers(-2, 2)),
    event("monitoring.metric.recorded", metric=st.just("m1"), value=st.integers(0, 9)),
    event("storage.file.created", path=ids, bytes=st.integers(0, 99), eval_id=ids),
    event("storage.file.deleted", path=ids),
    event("storage.result.stored", eval_id=ids, result=st.integers()),
    event("alert.critical", service=st.just("s"), error=errors),
    event("alert.warning", service=st.just("s"), error=errors),
)


def tables(bus: EventBus | ReplayBus) -> dict[str, set[Any]]:
    """Every row of every read model."""
    with bus.log.reading() as conn:
        return {
            table.name: {tuple(row) for row in conn.execute(select(table))}
            for table in metadata.sorted_tables
        }


def decide(bus: EventBus, alerts: Any, random: Any) -> None:
    for alert in alerts:
        kind = random.choice(["acknowledged", "resolved", "muted"])
        bus.publish(f"alert.{kind}", {"alert_id": alert.id, "by": "ana", "mode": "1h"})
