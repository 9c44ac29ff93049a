"""Events as Kafka messages and back: the Kafka binding (CloudEvents Kafka 1.0.2 §3)."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import Any

from eventbus.brokers.binding import attributes_of
from eventbus.brokers.broker import Incoming
from eventbus.event import Event
from eventbus.timestamps import format_time

PREFIX = "ce_"
_NOT_IN_TYPE = re.compile(r"[^A-Za-z0-9_.-]")


def headers_of(event: Event) -> list[tuple[str, str | bytes | None]]:
    """What stands beside the payload in binary mode."""
    headers: list[tuple[str, str | bytes | None]] = [
        (PREFIX + name, value) for name, value in attributes_of(event).items()
    ]
    headers.append(("content-type", event.datacontenttype))
    return headers


def incoming(message: Any, own_topic: str) -> Incoming:
    """A message as it came; one of another topic than ``own_topic`` may be no CloudEvent."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    attributes: dict[str, str] = {}
    content_type = ""
    for name, value in message.headers() or ():
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
        if name.lower() == "content-type":
            content_type = text
        elif name.startswith(PREFIX):
            attributes[name[len(PREFIX) :].lower()] = text
    mark = f"{topic}-{partition}-{offset}"
    mapped = None if topic == own_topic else mapped_attributes(message, topic, mark)
    return Incoming(
        message.value() or b"", content_type, attributes, mapped,
        f"/kafka/{mark}", mark, ((topic, partition), offset),
    )  # fmt: skip


def mapped_attributes(message: Any, topic: str, mark: str) -> dict[str, str]:
    """What stands for the attributes of a message that is no CloudEvent."""
    type = ".".join(part for part in _NOT_IN_TYPE.sub("_", topic).split(".") if part)
    mapped = {"id": mark, "source": f"/kafka/{topic}", "type": type or "kafka"}
    key = message.key()
    if key:
        with contextlib.suppress(UnicodeDecodeError):
            text = key.decode() if isinstance(key, bytes) else str(key)
            if text.isprintable() and text.strip() and len(text) <= 1_024:
                mapped["subject"] = text
    _, milliseconds = message.timestamp()
    if milliseconds > 0:
        with contextlib.suppress(OverflowError, ValueError, OSError):
            mapped["time"] = format_time(datetime.fromtimestamp(milliseconds / 1_000, UTC))
    return mapped
