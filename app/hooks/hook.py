"""An incoming hook: how its requests are signed, and which event one of them becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eventbus.integrations.type_template import segments, shortened

Scheme = Literal["standard", "github", "slack", "hmac"]
SCHEMES: tuple[Scheme, ...] = ("standard", "github", "slack", "hmac")
HEADER_PREFIX = "header:"

_FIELD = re.compile(r"\{([^{}]*)\}")
_MOST_ID_CHARS = 1_024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in a request: in a header, or in the body under a JSON Pointer."""

    header: str | None = None
    pointer: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Place:
        """``header:X-Name`` or ``/json/pointer`` (RFC 6901). Raises ValueError."""
        name = text.removeprefix(HEADER_PREFIX)
        if name != text and re.fullmatch(r"[A-Za-z0-9-]+", name):
            return cls(header=name.lower())
        if text.startswith("/") and len(text) > 1:
            tokens = text[1:].split("/")
            return cls(pointer=tuple(t.replace("~1", "/").replace("~0", "~") for t in tokens))
        raise ValueError(f"{text!r} is neither {HEADER_PREFIX}NAME nor a JSON Pointer like /id")

    def find(self, headers: Mapping[str, str], payload: Any) -> str | None:
        """The value as text; None when there is none, or it is no text or number."""
        value: Any = payload
        if self.header is not None:
            value = headers.get(self.header)
        for token in self.pointer:
            if isinstance(value, dict):
                value = value.get(token)
            elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
                value = value[int(token)]
            else:
                return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        return str(value)[:_MOST_ID_CHARS] or None


@dataclass(frozen=True, slots=True)
class HookType:
    """A template of types like ``github.{header:X-GitHub-Event}.{/action}``.

    Each field fills one segment, or part of one; a segment that stays empty is left out. The first
    one is always literal, so that no sender can choose the family of its events.
    """

    template: str
    parts: tuple[tuple[str | Place, ...], ...]

    @classmethod
    def parse(cls, template: str) -> HookType:
        """Raises ValueError."""
        # A dot within braces belongs to the field.
        found = re.findall(r"(?:\{[^{}]*\}|[^.{}])+", template)
        if ".".join(found) != template:
            raise ValueError(f"{template!r} must be segments with dots between, {{fields}} in them")
        parts = tuple(
            tuple(
                Place.parse(piece) if index % 2 else piece
                for index, piece in enumerate(_FIELD.split(segment))
                if piece
            )
            for segment in found
        )
        for literal in (piece for part in parts for piece in part if isinstance(piece, str)):
            if segments(literal) != literal:
                raise ValueError(f"{template!r} may have A-Z, a-z, 0-9, _ and -, not {literal!r}")
        if not parts or not all(isinstance(piece, str) for piece in parts[0]):
            raise ValueError(f"{template!r} must begin with a segment without a field")
        return cls(template, parts)

    def filled(self, headers: Mapping[str, str], payload: Any) -> str:
        """The type of one request's event; always a valid one."""
        found = []
        for part in self.parts:
            text = "".join(
                piece if isinstance(piece, str) else _one_segment(piece.find(headers, payload))
                for piece in part
            )
            if text:
                found.append(text)
        return shortened(".".join(found))


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook, at ``/hooks/NAME``; ``max_bytes`` bounds a request's body, 0 for the default.

    ``origins`` are who is told that they may send (app/hooks/handshake.py). The last four are of
    the scheme ``hmac``: the header with the signature, what stands before it, its encoding, and the
    header with the time (Unix seconds) that is signed with the body.
    """

    name: str
    scheme: Scheme
    secrets: tuple[bytes, ...] = field(repr=False)
    type: HookType
    id: Place | None = None
    subject: Place | None = None
    max_bytes: int = 0
    origins: tuple[str, ...] = ()
    tolerance_s: float = 300.0
    signature_header: str = "x-signature"
    signature_prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str | None = None

    @property
    def source(self) -> str:
        """That of its events; with their ids it makes them idempotent."""
        return f"/hooks/{self.name}"


def printable(text: str) -> str:
    """``text`` as an attribute of an event may be."""
    return _CONTROL.sub("\ufffd", text)[:_MOST_ID_CHARS]


def _one_segment(value: str | None) -> str:
    return "" if value is None else segments(value.replace(".", "_"))
