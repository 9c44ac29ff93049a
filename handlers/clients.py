"""What a handler class calls storage and monitoring by: every call is an event.

Inside a handler the event is an effect of the delivery: it happens exactly once, with the
delivery's success, or not at all. Outside it is published like any other. Either way the log
holds it, so what it changes can be rebuilt from the log, and the built-in storage and monitoring
handlers, which the clients subscribe if nobody has, are the only ones who change it. What a call
changes can be read a moment later: when its event has been handled.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from eventbus import EventBus, Receipt
from handlers.evaluation import Evaluations
from handlers.monitoring import Metrics, MonitoringHandler
from handlers.monitoring.samples import INCREMENTED, RECORDED
from handlers.storage import StorageHandler
from handlers.storage.handler import FILE_CREATED, RESULT_STORED
from handlers.subscriptions import ensure

T = TypeVar("T")


class Answer(Generic[T]):
    """A value that is there already: ``await answer`` in a coroutine, else ``answer.wait()``."""

    def __init__(self, value: T) -> None:
        self._value = value

    def wait(self, timeout: float | None = None) -> T:
        """The value, at once; ``timeout`` is there to be called like a receipt."""
        return self._value

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()  # an awaitable gives a generator; this one has nothing to wait for
        return self._value


class StorageClient:
    """Stores results of evaluations and notes files.

    A call has taken effect when it returns; what it returns can be awaited or waited for, and
    then the event is durable.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._evaluations = Evaluations(bus.log)
        ensure(bus, StorageHandler)

    def store_result(self, eval_id: str, result: Any) -> Receipt:
        """Keep the result (any JSON value) of an evaluation, as ``storage.result.stored``."""
        data = {"eval_id": eval_id, "result": result}
        return self._bus.publish(RESULT_STORED, data, subject=str(eval_id))

    def get_result(self, eval_id: str) -> Answer[Any]:
        """The stored result of an evaluation, None when there is none."""
        return Answer(self._evaluations.result(str(eval_id)))

    def file_created(
        self, path: str, size: int, eval_id: str | None = None, kind: str | None = None
    ) -> Receipt:
        """Note a file of ``size`` bytes, as ``storage.file.created``."""
        data = {"path": path, "bytes": size, "eval_id": eval_id, "kind": kind}
        return self._bus.publish(
            FILE_CREATED, {name: value for name, value in data.items() if value is not None}
        )


class MonitoringClient:
    """Counts and measures.

    A call has taken effect when it returns; what it returns can be awaited or waited for, and
    then the event is durable.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._metrics = Metrics(bus.log)
        ensure(bus, MonitoringHandler)

    def increment(self, name: str, by: float = 1) -> Receipt:
        """Add ``by`` to a metric, as ``monitoring.metric.incremented``."""
        return self._bus.publish(INCREMENTED, {"metric": name, "by": by}, subject=name)

    def decrement(self, name: str, by: float = 1) -> Receipt:
        """Take ``by`` from a metric."""
        return self.increment(name, -by)

    def record(self, name: str, value: float, unit: str | None = None) -> Receipt:
        """Set a metric, as ``monitoring.metric.recorded``."""
        data = {"metric": name, "value": value}
        return self._bus.publish(
            RECORDED, data if unit is None else {**data, "unit": unit}, subject=name
        )

    def value(self, name: str) -> Answer[float | None]:
        """The metric's value, None when it was never recorded."""
        metric = self._metrics.get(name)
        return Answer(None if metric is None else metric.value)
