"""The process's log: lines for people or JSON objects for programs, which no event can forge.

Whatever is logged while a handler runs names the event, its chain, the subscription and the
attempt; so does what the bus itself says about a delivery.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from eventbus.effects import current_effects

Format = Literal["text", "json"]

IDS = ("event_id", "correlation_id", "subscription", "attempt")
REQUESTS = "eventbus.requests"
"""The logger of requests."""
_REQUEST = ("method", "path", "status", "duration_ms", "client", "size")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MOST_MESSAGE = 20_000


class EventIds(logging.Filter):
    """Gives each record the ids of the delivery whose handler it was logged in."""

    def filter(self, record: logging.LogRecord) -> bool:
        effects = current_effects()
        if effects is not None and not hasattr(record, "event_id"):
            record.event_id = effects.event.id
            record.correlation_id = effects.event.correlationid
            record.subscription = effects.subscription
            record.attempt = effects.attempt
        return True


class OneLineFormatter(logging.Formatter):
    """Writes a message on one line; control characters in it, which events may hold, escaped.

    The ids of a delivery stand behind it. A traceback follows on lines of its own, indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record) + _ids(record)
        return _CONTROL.sub(_escaped, text)

    def formatException(self, ei: object) -> str:
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join("    " + _CONTROL.sub(_escaped, line) for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Writes one JSON object on one line: ``time`` (RFC 3339, UTC), ``level``, ``logger``,
    ``message``, the ids when there are any, what a request was, ``exception`` and ``thread``."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MOST_MESSAGE],
            "thread": record.threadName,
        }
        for name in (*IDS, *_REQUEST, "payload"):
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[:_MOST_MESSAGE]
        # To ASCII: U+2028 and lone surrogates are escaped, too.
        return json.dumps(line, default=str)


def configure(level: str, format: Format = "text") -> None:
    """Send what this process logs at ``level`` and above to standard error; once per process."""
    root = logging.getLogger()
    root.handlers[:] = [handler(format)]
    root.setLevel(level.upper())
    # A connection that ends, or is refused, is told of in one line by eventbus.brokers.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)


def said(text: str, level: int, format: str) -> str:
    """What a process says beside its log, whatever the level of that, in the log's format."""
    if format != "json":
        return text
    return JsonFormatter().format(logging.LogRecord("eventbus", level, "", 0, text, (), None))


def handler(format: Format) -> logging.Handler:
    """A handler that writes to standard error in one of the two formats."""
    made = logging.StreamHandler(sys.stderr)
    made.addFilter(EventIds())
    if format == "json":
        made.setFormatter(JsonFormatter())
    else:
        made.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return made


def _ids(record: logging.LogRecord) -> str:
    """The ids that the message does not name itself."""
    message = record.getMessage()
    found = [(name, getattr(record, name, None)) for name in IDS]
    told = [f"{name}={value}" for name, value in found if value is not None]
    if not told or getattr(record, "event_id", "") in message:
        told = [part for part in told if part.startswith("correlation_id=")]
    payload = getattr(record, "payload", None)
    if payload is not None:
        told.append(f"payload={payload}")
    return f" [{' '.join(told)}]" if told else ""


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
