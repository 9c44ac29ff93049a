"""A ``logging.Handler`` that publishes records as events, without ever waiting for the bus."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import traceback
import weakref
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from eventbus.client import RemoteEventBus
from eventbus.client.insight import is_away
from eventbus.errors import BusClosedError, EventValidationError
from eventbus.integrations.pacing import Pacer
from eventbus.integrations.plain import plain, text
from eventbus.integrations.rate_cap import RateCap
from eventbus.integrations.type_template import TypeTemplate
from eventbus.tracing import TRACESTATE
from eventbus.validation import is_tracestate

URL_VARIABLE = "EVENTBUS_URL"
SOURCE = "/logging"
DROPPED = "log.dropped"
OWN_LOGGER = "eventbus"
MAX_MESSAGE_CHARS = 8_000
MAX_TRACEBACK_CHARS = 16_000
DROPPED_INTERVAL_S = 1.0

# What a record always has (the attributes of LogRecord and what a Formatter adds); the rest is
# what the program gave as ``extra``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MOST_NAMES = 20


class EventBusHandler(logging.Handler):
    """Publishes each record to the bus at ``url`` as an event named by ``type``.

    ``emit`` only queues: it never waits for the network, and an error in it goes where those of
    all handlers go (``logging.Handler.handleError``). Records of the bus's own logger, ``eventbus``
    and below, are left out: they would be about the sending of records. Beyond ``max_per_s`` (with
    a burst of as many) records are dropped, and ``log.dropped`` says how many; those from ERROR
    on have an allowance of the same size to themselves, so that no flood of others hides them.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        bus: RemoteEventBus | None = None,
        type: str = "log.{level}",
        source: str = SOURCE,
        level: int | str = logging.NOTSET,
        max_per_s: float = 50.0,
        flush_timeout_s: float = 2.0,
    ) -> None:
        """``url`` defaults to ``EVENTBUS_URL``; with ``bus`` that client is used, and not closed.

        ``type`` may have ``{level}`` and ``{logger}``. Nothing is connected before the first
        record. Raises ValueError for a template, a rate or a URL that cannot be used.
        """
        super().__init__(level)
        self._template = TypeTemplate(type, ("level", "logger"))
        self._template.filled(level="info", logger="a")  # a wrong one is said now, not per record
        url = url or os.environ.get(URL_VARIABLE) or None
        if bus is None and url is None:
            raise ValueError(f"the handler needs a url, or {URL_VARIABLE} in the environment")
        self._owns_bus = bus is None
        self._bus = bus or RemoteEventBus(str(url), source=source)
        self._source = source
        self._flush_timeout_s = flush_timeout_s
        self._max_per_s = max_per_s
        self._inside = threading.local()
        self._start_counting()
        # Before the client's own hook, since they run last come first: it closes the client.
        atexit.register(_tell_at_exit, weakref.ref(self))

    def _start_counting(self) -> None:
        # A lock of its own: the pacer's thread takes it too, and must not need the handler's, which
        # a thread holds while it asks the pacer.
        self._counting = threading.Lock()
        self._pid = os.getpid()
        self._caps = (RateCap(self._max_per_s), RateCap(self._max_per_s))  # errors have the second
        self._dropped: Counter[tuple[str, str]] = Counter()  # by level and logger
        self._dropped_since = 0.0
        self._pacer = Pacer()

    @property
    def bus(self) -> RemoteEventBus:
        """The client; its ``stats`` count exactly."""
        return self._bus

    def handle(self, record: logging.LogRecord) -> Any:
        """As of every handler; the bus's own records pass by, before any lock is asked for."""
        if record.name.partition(".")[0] == OWN_LOGGER or getattr(self._inside, "it", False):
            return False
        return super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record as an event, or count it as dropped."""
        self._inside.it = True  # whatever is logged on the way, by an object's __str__ say, is not
        try:
            if self._pid != os.getpid():
                self._start_counting()  # in a forked child: what was dropped is the parent's to say
            if self._caps[record.levelno >= logging.ERROR].take(time.monotonic()):
                self._publish(record)
            else:
                self._drop(record)
        except BusClosedError:
            pass  # the process is ending, or the handler is closed: there is nobody to tell
        except Exception:
            self.handleError(record)
        finally:
            self._inside.it = False

    def flush(self) -> None:
        """Wait until what was published is with the bus, up to ``flush_timeout_s``.

        At once when the bus is known to be away.
        """
        self._tell_dropped()
        if not is_away(self._bus):
            self._bus.flush(self._flush_timeout_s)

    def close(self) -> None:
        """Say what was dropped, send what waits (up to ``flush_timeout_s``), take no more."""
        self._tell_dropped()
        if self._owns_bus:
            self._bus.close_at_exit(self._flush_timeout_s)
        super().close()

    def _publish(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        type = self._template.filled(level=level, logger=record.name)
        data = _data(record, level)
        extra = data.get("extra", {})
        envelope: dict[str, Any] = {
            "source": self._source,
            "subject": text(extra.get("eval_id") or extra.get("task_id") or record.name, 1_000),
            "time": datetime.fromtimestamp(record.created, UTC),
        }
        for name in ("correlationid", "causationid", "traceparent"):
            if isinstance(value := extra.get(name), str):
                envelope[name] = value
        state = extra.get(TRACESTATE)
        if "traceparent" in envelope and isinstance(state, str) and is_tracestate(state):
            envelope["extensions"] = {TRACESTATE: state}
        try:
            self._bus.publish(type, data, **envelope)
        except EventValidationError:
            # An odd subject or correlation, or too much in all: the message is what matters.
            data.pop("extra", None)
            data["is_cut"] = True
            self._bus.publish(type, data, source=self._source, subject=_subject(record.name))

    def _drop(self, record: logging.LogRecord) -> None:
        with self._counting:
            logger = record.name if len(self._dropped) < _MOST_NAMES else "…"
            self._dropped_since = self._dropped_since or record.created
            self._dropped[record.levelname.lower(), logger] += 1
        self._pacer.touch(DROPPED, self._tell_dropped, DROPPED_INTERVAL_S)

    def _tell_dropped(self) -> None:
        if self._pid != os.getpid():
            return
        with self._counting:
            if not self._dropped:
                return
            dropped, self._dropped = self._dropped, Counter()
            since, self._dropped_since = self._dropped_since, 0.0
        levels: Counter[str] = Counter()
        loggers: Counter[str] = Counter()
        for (level, logger), count in dropped.items():
            levels[text(level, 100)] += count
            loggers[text(logger, 200)] += count
        data = {
            "count": sum(dropped.values()),
            "levels": levels,
            "loggers": loggers,
            "since": datetime.fromtimestamp(since, UTC).isoformat(),
            "max_per_s": self._max_per_s,
        }
        with suppress(BusClosedError):  # told too late: nobody sends any more
            self._bus.publish(DROPPED, data, source=self._source, subject=DROPPED)


def _data(record: logging.LogRecord, level: str) -> dict[str, Any]:
    try:
        message = record.getMessage()
    except Exception as error:  # arguments that do not fit the message, or cannot be shown
        message = f"{text(record.msg)} ({type(error).__name__} while its arguments were put in)"
    data: dict[str, Any] = {
        "message": text(message, MAX_MESSAGE_CHARS),
        "level": text(level, 100),
        "levelno": record.levelno,
        "logger": text(record.name, 200),
        "module": text(record.module, 200),
        "function": text(record.funcName, 200),
        "file": text(record.pathname),
        "line": record.lineno,
        "process": record.process,
        "thread": text(record.threadName, 200),
    }
    if (task := getattr(record, "taskName", None)) is not None:
        data["task"] = text(task, 200)
    if (exception := _exception(record)) is not None:
        data["exception"] = exception
    if record.stack_info:
        data["stack"] = text(record.stack_info[-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS)
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if given:
        data["extra"] = plain(given)
    return data


def _exception(record: logging.LogRecord) -> dict[str, str] | None:
    if record.exc_info and record.exc_info[1] is not None:
        raised = record.exc_info[1]
        try:
            lines = "".join(traceback.format_exception(raised))
        except Exception as error:  # an exception whose own text fails
            lines = f"(its traceback cannot be shown: {type(error).__name__})"
        kind, message = type(raised).__qualname__, text(raised)
    elif record.exc_text:  # of a record that came from another process
        lines = str(record.exc_text)
        kind, _, message = lines.rstrip().rpartition("\n")[2].partition(": ")
    else:
        return None
    # The end of a traceback is what was raised and where.
    shown = text(lines[-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS)
    return {"type": text(kind, 200), "message": text(message), "traceback": shown}


def _subject(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)[:200].strip() or "root"


def _tell_at_exit(handler: weakref.ref[EventBusHandler]) -> None:
    if (found := handler()) is not None:
        found._tell_dropped()
