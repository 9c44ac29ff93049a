"""The event: an immutable CloudEvents 1.0 envelope around a JSON object, readable like a dict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from eventbus.errors import EventValidationError, FieldError
from eventbus.extensions import Extension, check_extensions
from eventbus.ids import new_id
from eventbus.timestamps import format_time
from eventbus.validation import (
    JSON_CONTENT_TYPE,
    MAX_EVENT_BYTES,
    check_attribute,
    check_traceparent,
    check_type,
    checked_data,
    checked_time,
    default_subject,
    encode_json,
    is_json_content_type,
    pointer_token,
    shown,
)

SPECVERSION = "1.0"
DEFAULT_SOURCE = "/eventbus"

_INPUT_ATTRIBUTES = frozenset({
    "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data",
    "specversion", "sequence", "recordedtime", "correlationid", "causationid", "traceparent",
})  # fmt: skip
_ALLOWED = ", ".join(sorted(_INPUT_ATTRIBUTES))


class Event(Mapping[str, Any]):
    """An immutable fact.

    Attributes have the CloudEvents names (CloudEvents 1.0.2 §3.1, and its extensions for
    correlation, sequence and distributed tracing). As a mapping it reads its ``data``;
    ``event["timestamp"]`` falls back on the envelope's time, as RFC 3339 text.

    ``time`` is an aware datetime in UTC with microseconds; ``sequence`` is None until recorded;
    ``depth`` is the length of the chain of causes (0 for a first event); ``data_json`` is the
    payload as compact JSON text, "" when retention has removed it; ``extensions_json`` the same of
    its further extension attributes, None without any; ``is_new`` that its id was made with it and
    not given, so that it cannot have been recorded before.
    """

    __slots__ = (
        "id", "source", "type", "subject", "time", "sequence", "correlationid", "causationid",
        "traceparent", "dataschema", "depth", "data_json", "extensions_json", "is_new", "_data",
    )  # fmt: skip

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int | None
    correlationid: str
    causationid: str | None
    traceparent: str | None
    dataschema: str | None
    depth: int
    data_json: str
    extensions_json: str | None
    is_new: bool
    _data: dict[str, Any] | None

    def __init__(
        self,
        id: str,
        source: str,
        type: str,
        subject: str,
        time: datetime,
        data_json: str,
        *,
        sequence: int | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        traceparent: str | None = None,
        dataschema: str | None = None,
        depth: int = 0,
        extensions_json: str | None = None,
        is_new: bool = False,
    ) -> None:
        """Takes values as they are, without checking; ``Event.create`` checks."""
        put = object.__setattr__
        put(self, "id", id)
        put(self, "source", source)
        put(self, "type", type)
        put(self, "subject", subject)
        put(self, "time", time)
        put(self, "sequence", sequence)
        put(self, "correlationid", correlationid or id)
        put(self, "causationid", causationid)
        put(self, "traceparent", traceparent)
        put(self, "dataschema", dataschema)
        put(self, "depth", depth)
        put(self, "data_json", data_json)
        put(self, "extensions_json", extensions_json)
        put(self, "is_new", is_new)
        put(self, "_data", None)

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        source: str | None = None,
        subject: str | None = None,
        time: datetime | str | None = None,
        dataschema: str | None = None,
        traceparent: str | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
        depth: int = 0,
        max_bytes: int = MAX_EVENT_BYTES,
    ) -> Event:
        """A checked event that is not recorded yet.

        ``id`` defaults to a UUIDv7, ``subject`` to the data's ``eval_id``, else its ``task_id``,
        else the type; ``time`` (aware datetime or RFC 3339 text) to now. ``extensions``
        are further extension attributes of CloudEvents, which are kept as they are; ``max_bytes``
        bounds the payload's JSON text in UTF-8.

        Raises EventValidationError, which names every wrong field.
        """
        errors: list[FieldError] = []
        check_type(type, errors)
        data_json = checked_data(data, max_bytes, errors)
        when = checked_time(time, errors)
        if id is not None:
            check_attribute("id", id, errors)
        if source is not None:
            check_attribute("source", source, errors)
        if subject is not None:
            check_attribute("subject", subject, errors)
        if dataschema is not None:
            check_attribute("dataschema", dataschema, errors)
        if correlationid is not None:
            check_attribute("correlationid", correlationid, errors)
        if causationid is not None:
            check_attribute("causationid", causationid, errors)
        if traceparent is not None:
            check_traceparent(traceparent, errors)
        kept = None if extensions is None else check_extensions(extensions, errors)
        if errors:
            raise EventValidationError(errors)
        return cls(
            id if id is not None else new_id(),
            source if source is not None else DEFAULT_SOURCE,
            type,
            subject if subject is not None else default_subject(type, data),
            when,
            data_json,
            correlationid=correlationid,
            causationid=causationid,
            traceparent=traceparent,
            dataschema=dataschema,
            depth=depth,
            extensions_json=kept,
            is_new=id is None,
        )

    @classmethod
    def from_dict(
        cls,
        value: Any,
        *,
        source: str | None = None,
        max_bytes: int = MAX_EVENT_BYTES,
        now: Callable[[], datetime] | None = None,
    ) -> Event:
        """A checked event from a CloudEvents JSON object or the plain form ``{"type", "data"}``.

        What a CloudEvent (which has a ``specversion``) has beyond the known attributes are its
        extensions; in the plain form it is refused, as it may be misspelt. ``source`` is used when
        the object has none, ``now()`` when it has no time. Raises EventValidationError.
        """
        if not isinstance(value, Mapping):
            raise EventValidationError(
                [FieldError("", f"an event must be a JSON object, not {shown(value)}")]
            )
        errors: list[FieldError] = []
        unknown = [name for name in value if name not in _INPUT_ATTRIBUTES]
        if "specversion" not in value:
            errors += [
                FieldError(
                    f"/{pointer_token(str(name))}",
                    f"is not an attribute of an event here: put it into data; allowed are "
                    f"{_ALLOWED}, and extensions in a CloudEvent, which has a specversion",
                )
                for name in unknown[:_MOST_UNKNOWN]
            ]
            unknown = []
        if value.get("specversion", SPECVERSION) != SPECVERSION:
            errors.append(FieldError(
                "/specversion", f"must be \"1.0\", not {shown(value['specversion'])}"
            ))  # fmt: skip
        content_type = value.get("datacontenttype")
        if content_type is not None and not is_json_content_type(content_type):
            errors.append(FieldError(
                "/datacontenttype",
                f"must be application/json, not {shown(content_type)}: data is a JSON object here",
            ))  # fmt: skip
        if "type" not in value:
            errors.append(FieldError("/type", "is required: the event's name in dot notation"))
        given = {name: value[name] for name in _INPUT_ATTRIBUTES
                 if name in value and name not in _NOT_PASSED_ON}  # fmt: skip
        if source is not None and given.get("source") is None:
            given["source"] = source
        if now is not None and given.get("time") is None:
            given["time"] = now()
        if unknown:
            given["extensions"] = {name: value[name] for name in unknown}
        try:
            event = cls.create(given.pop("type", "missing"), max_bytes=max_bytes, **given)
        except EventValidationError as error:
            raise EventValidationError([*errors, *error.errors]) from None
        if errors:
            raise EventValidationError(errors)
        return event

    def copy(self, sequence: int | None = None) -> Event:
        """The same event with a payload dict of its own, and ``sequence`` when it is given."""
        new = object.__new__(Event)
        put = object.__setattr__  # one by one: this is on the way of every event, twice
        put(new, "id", self.id)
        put(new, "source", self.source)
        put(new, "type", self.type)
        put(new, "subject", self.subject)
        put(new, "time", self.time)
        put(new, "sequence", self.sequence if sequence is None else sequence)
        put(new, "correlationid", self.correlationid)
        put(new, "causationid", self.causationid)
        put(new, "traceparent", self.traceparent)
        put(new, "dataschema", self.dataschema)
        put(new, "depth", self.depth)
        put(new, "data_json", self.data_json)
        put(new, "extensions_json", self.extensions_json)
        put(new, "is_new", False)
        put(new, "_data", None)
        return new

    def record(self, sequence: int | None) -> None:
        """For the log alone: the event's place in it; None when it was not recorded after all."""
        object.__setattr__(self, "sequence", sequence)
        object.__setattr__(self, "is_new", sequence is None and self.is_new)

    def evolve(self, **changes: Any) -> Event:
        """A copy with some attributes changed, unchecked; the payload text is shared."""
        values: dict[str, Any] = {
            name: getattr(self, name) for name in Event.__slots__ if name != "_data"
        }
        values.update(changes)
        return Event(**values)

    # -- reading -----------------------------------------------------------------------------

    @property
    def data(self) -> dict[str, Any]:
        """The payload; each Event object has its own copy, parsed when first read.

        Empty when ``is_stripped``.
        """
        if self._data is None:
            object.__setattr__(self, "_data", json.loads(self.data_json or "{}"))
        return self._data  # type: ignore[return-value]

    @property
    def extensions(self) -> dict[str, Extension]:
        """Its extension attributes that the bus has no meaning for, by name; a copy."""
        return json.loads(self.extensions_json) if self.extensions_json else {}

    @property
    def is_stripped(self) -> bool:
        """Whether retention has removed the payload."""
        return not self.data_json

    @property
    def family(self) -> str:
        """The first segment of the type."""
        return self.type.partition(".")[0]

    @property
    def datacontenttype(self) -> str:
        """Always ``application/json``."""
        return JSON_CONTENT_TYPE

    def __getitem__(self, key: str) -> Any:
        data = self.data
        if key == "timestamp" and key not in data:
            return format_time(self.time)
        return data[key]

    def __contains__(self, key: object) -> bool:
        return key in self.data or key == "timestamp"

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return True  # a mapping without keys would be false, but an event is there or it is not

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an event is immutable; {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an event is immutable; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, ({n: getattr(self, n) for n in Event.__slots__ if n != "_data"},)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (self.source, self.id) == (other.source, other.id)

    def __hash__(self) -> int:
        return hash((self.source, self.id))

    def __repr__(self) -> str:
        return f"<Event {self.type} id={self.id} subject={self.subject} sequence={self.sequence}>"

    def to_dict(self) -> dict[str, Any]:
        """The event in the CloudEvents JSON format (CloudEvents JSON 1.0.2 §3), as a dict.

        Without ``data``, and with ``dataremoved``, when it ``is_stripped``.
        """
        if self.is_stripped:
            return {**self._envelope(), "dataremoved": True}
        return {**self._envelope(), "data": json.loads(self.data_json)}

    def to_json(self) -> str:
        """The event in the CloudEvents JSON format, as compact text."""
        if self.is_stripped:
            return encode_json(self.to_dict())
        return f'{encode_json(self._envelope())[:-1]},"data":{self.data_json}}}'

    def _envelope(self) -> dict[str, Any]:
        envelope: dict[str, Any] = {
            "specversion": SPECVERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": format_time(self.time),
            "datacontenttype": JSON_CONTENT_TYPE,
            "correlationid": self.correlationid,
        }
        if self.sequence is not None:
            envelope["sequence"] = self.sequence
        for name in ("causationid", "traceparent", "dataschema"):
            value = getattr(self, name)
            if value is not None:
                envelope[name] = value
        return {**envelope, **self.extensions} if self.extensions_json else envelope


def _restored(values: dict[str, Any]) -> Event:
    """For copy and pickle, which would otherwise set attributes one by one."""
    return Event(**values)


_MOST_UNKNOWN = 20  # unknown members that one error names; an input may have any number of them
_NOT_PASSED_ON = frozenset({"specversion", "datacontenttype", "sequence", "recordedtime"})
