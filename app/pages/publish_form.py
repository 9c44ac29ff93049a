"""The publish form: what was typed, what is wrong with it by field, and the event that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.pages.json_text import pretty
from eventbus import Event
from eventbus.errors import EventValidationError, JsonTextError
from eventbus.json_reader import read_json
from eventbus.scheduled import ScheduledEvent

FIELDS = ("type", "data", "source", "subject", "id", "delay", "at")


@dataclass(slots=True)
class PublishForm:
    """``values`` as typed; ``errors`` by field, each with one or more sentences."""

    values: dict[str, str]
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, posted: Mapping[str, str]) -> PublishForm:
        """The form as a browser posted it."""
        # Browsers send line ends of text areas as CR LF (HTML §4.10.22.4).
        values = {name: posted.get(name, "").replace("\r\n", "\n") for name in FIELDS}
        return cls({name: value if name == "data" else value.strip()
                    for name, value in values.items()})  # fmt: skip

    @property
    def has_more(self) -> bool:
        """Whether a field is filled in that most events leave empty."""
        return any(self.values[name] for name in FIELDS[2:])

    @classmethod
    def filled(
        cls, type: str = "", data: Mapping[str, Any] | None = None, subject: str = ""
    ) -> PublishForm:
        """The form with a type and a payload to begin with."""
        values = dict.fromkeys(FIELDS, "")
        values.update(type=type, data=pretty(data or {}), subject=subject)
        return cls(values)

    def event(self, source: str, max_bytes: int) -> Event | None:
        """The event that the form means; None when something is wrong, which ``errors`` then says.

        ``source`` is used when the form has none; ``max_bytes`` bounds the payload.
        """
        values, data = self.values, self.data()
        try:
            event = Event.create(
                values["type"],
                data,
                source=values["source"] or source,
                subject=values["subject"] or None,
                id=values["id"] or None,
                max_bytes=max_bytes,
            )
            if values["delay"] or values["at"]:
                event = ScheduledEvent.of(
                    event, delay=values["delay"] or None, at=values["at"] or None, is_timed=False
                )
        except EventValidationError as error:
            self.note(error)
            return None
        return None if self.errors else event

    def data(self) -> dict[str, Any]:
        """The payload; empty when the text is no JSON object, which ``errors`` then says."""
        text = self.values["data"]
        if not text.strip():
            return {}
        try:
            value = read_json(text)
        except JsonTextError as error:
            self._note("/data", str(error))
            return {}
        if not isinstance(value, dict):
            self._note("/data", "must be a JSON object: { … } with names and values")
            return {}
        return value

    def as_plain(self) -> dict[str, Any] | None:
        """The event in the plain form that the API takes; None while the data is no JSON object."""
        probe = PublishForm(self.values)  # its errors are not yet worth telling
        event: dict[str, Any] = {"type": self.values["type"], "data": probe.data()}
        if probe.errors:
            return None
        for name in ("source", "subject", "id", "delay", "at"):
            if self.values[name]:
                event[name] = self.values[name]
        return event

    def note(self, error: EventValidationError) -> None:
        """Say what the bus says of the event, beside the fields that it is about."""
        for each in error.errors:
            self._note(each.pointer, each.detail)

    def _note(self, pointer: str, detail: str) -> None:
        name, _, below = pointer.removeprefix("/").partition("/")
        known = name if name in FIELDS else "data"
        text = f"/{below}: {detail}" if below else detail
        self.errors.setdefault(known, []).append(text)
