"""What Celery does as events of a queue; see docs/celery.md.

``connect()`` in the module that makes the Celery app, which publishers and workers both import.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from eventbus.client import RemoteEventBus
from eventbus.client.insight import is_away
from eventbus.errors import BusClosedError, EventValidationError, MissingPackageError
from eventbus.ids import new_id
from eventbus.integrations.celery_payloads import (
    ADDED_HEADER,
    CORRELATION_HEADER,
    QUEUE_HEADER,
    Payloads,
)
from eventbus.integrations.plain import cut

try:
    from celery import current_task, signals  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    raise MissingPackageError(
        "events of Celery need the package celery: pip install 'eventbus[celery]'"
    ) from error

URL_VARIABLE = "EVENTBUS_URL"
SOURCE = "/celery"
FLUSH_TIMEOUT_S = 2.0

log = logging.getLogger("eventbus.celery")

_connected: CelerySignals | None = None


def connect(
    url: str | None = None,
    *,
    source: str = SOURCE,
    publishes_arguments: bool = False,
    bus: RemoteEventBus | None = None,
) -> CelerySignals | None:
    """Publish Celery's signals to the bus at ``url``; None and a log line when there is no URL.

    ``url`` defaults to ``EVENTBUS_URL``. Arguments of tasks stay private unless
    ``publishes_arguments``; an ``eval_id`` among the keyword arguments is published anyway, since
    it links the task to its evaluation. Connecting again replaces what was. A client given as
    ``bus`` is used as it is. Raises ValueError for a URL that cannot be used.
    """
    global _connected
    if _connected is not None:
        _connected.disconnect()
        _connected = None
    url = url or os.environ.get(URL_VARIABLE) or None
    if bus is None and url is None:
        log.info("%s is not set, so no events of Celery are published", URL_VARIABLE)
        return None
    # The client neither connects nor starts a thread before the first event, and starts afresh in
    # a forked child: so a prefork worker's processes each have their own.
    client = bus or RemoteEventBus(str(url), source=source)
    _connected = CelerySignals(client, source, Payloads(publishes_arguments))
    return _connected


class CelerySignals:
    """The receivers; each only queues events, and an error in one is logged once."""

    def __init__(self, bus: RemoteEventBus, source: str, payloads: Payloads) -> None:
        self.bus = bus
        self._source = source
        self._payloads = payloads
        self._failed: set[str] = set()
        self._receivers: list[tuple[Any, Callable[..., None]]] = []
        for signal, receive in (
            (signals.before_task_publish, self._before_publish),
            (signals.after_task_publish, self._published),
            (signals.task_prerun, self._started),
            (signals.task_success, self._succeeded),
            (signals.task_failure, self._task_failed),
            (signals.task_retry, self._retried),
            (signals.task_revoked, self._revoked),
            (signals.task_unknown, self._unknown),
            (signals.worker_process_shutdown, self._shut_down),
            (signals.worker_shutdown, self._shut_down),
        ):
            receiver = self._guarded(receive)
            signal.connect(receiver, weak=False)
            self._receivers.append((signal, receiver))

    def disconnect(self) -> None:
        """Publish nothing more; what is queued is still sent."""
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    # -- where a task is published -------------------------------------------------------------

    def _before_publish(self, headers: Any = None, routing_key: Any = None, **_: Any) -> None:
        if not isinstance(headers, dict):
            return  # of Celery's first protocol, whose headers carry nothing
        headers[ADDED_HEADER] = new_id()
        headers[QUEUE_HEADER] = str(routing_key or "celery")
        parent = _parent()
        if parent is not None:
            headers.setdefault(CORRELATION_HEADER, parent[0])
        headers.setdefault(CORRELATION_HEADER, headers[ADDED_HEADER])

    def _published(
        self, sender: Any = None, headers: Any = None, body: Any = None, **_: Any
    ) -> None:
        # Not before: a broker that is away must leave no task waiting in a queue that never had it.
        if not isinstance(headers, dict) or ADDED_HEADER not in headers:
            return
        parent = _parent()
        self._publish(
            "queue.task.added",
            self._payloads.added(str(sender), headers, body),
            id=headers[ADDED_HEADER],
            correlationid=headers[CORRELATION_HEADER],
            causationid=None if parent is None else parent[1],
        )

    # -- where it runs -------------------------------------------------------------------------

    def _started(self, task: Any = None, task_id: Any = None, kwargs: Any = None, **_: Any) -> None:
        request = task.request
        request.eventbus_began_s = time.monotonic()
        request.eventbus_started_id = new_id()
        self._tell("queue.task.started", self._payloads.of(task.name, request), request)

    def _succeeded(self, sender: Any = None, result: Any = None, **_: Any) -> None:
        self._tell(
            "queue.task.processed", self._payloads.of(sender.name, sender.request), sender.request
        )

    def _task_failed(
        self, sender: Any = None, exception: Any = None, einfo: Any = None, **_: Any
    ) -> None:
        data = self._payloads.of(sender.name, sender.request)
        data["error"] = self._payloads.error(exception, einfo)
        self._tell("queue.task.failed", {**data, "will_retry": False}, sender.request)

    def _retried(
        self,
        sender: Any = None,
        request: Any = None,
        reason: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        data = self._payloads.of(sender.name, request)
        cause = getattr(reason, "exc", None)
        data["error"] = self._payloads.error(reason if cause is None else cause, einfo)
        self._tell("queue.task.failed", {**data, "will_retry": True}, request)

    def _revoked(
        self, sender: Any = None, request: Any = None, terminated: bool = False,
        signum: Any = None, expired: bool = False, **_: Any,
    ) -> None:  # fmt: skip
        data = self._payloads.of(getattr(sender, "name", str(sender)), request)
        data["error"] = self._payloads.called_off(terminated, signum, expired)
        self._tell("queue.task.failed", {**data, "will_retry": False}, request)

    def _unknown(self, name: Any = None, id: Any = None, message: Any = None, **_: Any) -> None:
        data = self._payloads.unknown(name, id, message)
        headers = getattr(message, "headers", None) or {}
        self._publish(
            "queue.task.failed", {**data, "will_retry": False},
            correlationid=headers.get(CORRELATION_HEADER), causationid=headers.get(ADDED_HEADER),
        )  # fmt: skip

    def _shut_down(self, **_: Any) -> None:
        # A process of a prefork worker ends by os._exit, which runs no exit hook.
        if not is_away(self.bus):
            self.bus.flush(FLUSH_TIMEOUT_S)

    # -- publishing ----------------------------------------------------------------------------

    def _tell(self, type: str, data: dict[str, Any], request: Any) -> None:
        added = request.get(ADDED_HEADER) if hasattr(request, "get") else None
        started = getattr(request, "eventbus_started_id", None)
        is_start = type == "queue.task.started"
        self._publish(
            type, data, id=started if is_start else None, correlationid=correlation(request),
            causationid=added if is_start else started or added,
        )  # fmt: skip

    def _publish(self, type: str, data: dict[str, Any], **envelope: Any) -> None:
        envelope = {"source": self._source, "subject": data["task_id"], **envelope}
        try:
            self.bus.publish(type, data, **envelope)
        except EventValidationError:
            self.bus.publish(type, {**cut(data), "is_cut": True}, **envelope)
        except BusClosedError:
            log.debug("%s is not published: the client is closed", type)

    def _guarded(self, receive: Callable[..., None]) -> Callable[..., None]:
        """``receive``, which must neither break a task nor fill the log."""
        name = receive.__name__.strip("_")

        def guarded(*_: Any, **arguments: Any) -> None:
            try:
                receive(**arguments)
            except Exception as error:
                if name not in self._failed:
                    self._failed.add(name)
                    log.warning("events of %s are missing: %r", name, error, exc_info=error)

        return guarded


def correlation(request: Any) -> str | None:
    """The chain that a request belongs to: ours, else that of Celery (its root task)."""
    for name in (CORRELATION_HEADER, "root_id", "id"):
        if isinstance(found := getattr(request, name, None), str) and found:
            return found
    return None


def _parent() -> tuple[str, str | None] | None:
    """Correlation of the task that runs now, and the id of its start; None outside of one."""
    if not current_task or current_task.request.called_directly:
        return None
    request = current_task.request
    found = correlation(request)
    return None if found is None else (found, getattr(request, "eventbus_started_id", None))
