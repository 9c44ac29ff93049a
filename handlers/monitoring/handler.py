"""Keeps the metrics, and raises an alert when one crosses the threshold of a rule."""

from __future__ import annotations

from dataclasses import replace

from eventbus import Event, EventBus
from handlers.monitoring import samples
from handlers.monitoring.table import MetricTable
from handlers.rules import MetricRule, RuleBook
from handlers.settings import HandlerSettings


class MonitoringHandler:
    """Subscribed as "monitoring".

    Samples of a metric that no rule watches may be added in any order, so they need not wait
    for one another. A rule compares with the value before, so those come one by one.
    """

    name = "monitoring"
    pattern = "monitoring.*"

    def __init__(self, bus: EventBus, settings: HandlerSettings) -> None:
        self._bus = bus
        self._table = MetricTable(bus.log)
        self.settings = settings

    @property
    def settings(self) -> HandlerSettings:
        return self._settings

    @settings.setter
    def settings(self, settings: HandlerSettings) -> None:
        self._settings = settings
        self._rules = RuleBook(settings.rules())

    def key(self, event: Event) -> str:
        """The ordering key: the metric when rules watch it, else the event alone."""
        name = samples.name_of(event)
        return name if self._rules.for_metric(name) else event.id

    async def handle(self, event: Event) -> None:
        """Raises MalformedEventError for data without a metric's name or number."""
        sample = samples.read(event)
        if sample is None:
            return
        rules = self._rules.for_metric(sample.metric)
        if rules:
            sample = await self._watched(sample, rules)
        self._bus.effect(self._table.apply, sample)

    async def _watched(
        self, sample: samples.Sample, rules: tuple[MetricRule, ...]
    ) -> samples.Sample:
        """The sample with the rules that it violates; those that were not before raise an alert."""
        version = self._table.rows.version  # before the row: a newer one must not vouch for it
        row = await self._table.rows.get(sample.metric, sample.sequence)
        value = samples.advance(row, sample).value
        crossed = [rule for rule in rules if rule.is_crossed_by(value)]
        before = () if row is None else (row.crossed or "").splitlines()
        for rule in crossed:
            if rule.text not in before:
                self._bus.publish(*rule.alert(sample.metric, value, sample.eval_id))
        return replace(
            sample,
            crossed="\n".join(rule.text for rule in crossed),
            base=0 if row is None else row.last_sequence,
            version=version,
        )

    def replaced(self) -> None:
        """The rows were replaced by a rebuild; called under the commit lock."""
        self._table.rows.replaced()
