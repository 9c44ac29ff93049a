"""The TOML file that names the incoming hooks; what is wrong in it stops the start."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from app.hooks.hook import SCHEMES, Hook, HookType, Place
from eventbus.validation import shown
from handlers.errors import HookFileError
from handlers.standard_webhooks import key_of

MOST_HOOKS = 100
MIN_SECRET_CHARS = 16

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MOST_ORIGINS = 50
_ORIGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_KEYS = frozenset(
    {"scheme", "secret", "secret_file", "type", "id", "subject", "max_bytes", "origins"}
)
_TIMED = _KEYS | {"tolerance_s"}
_KEYS_OF = {
    "standard": _TIMED,
    "slack": _TIMED,
    "github": _KEYS,  # which signs no time: a delivery's id is what makes a replay harmless
    "hmac": _TIMED | {"header", "prefix", "encoding", "timestamp_header"},
}
_IDS = {"standard": "header:webhook-id", "github": "header:x-github-delivery", "slack": "/event_id"}


def read_hooks(text: str) -> tuple[Hook, ...]:
    """The hooks in the file at path ``text``. Raises HookFileError, which repeats no secret."""
    path = Path(text)
    try:
        with path.open("rb") as file:
            sections = tomllib.load(file)
    except OSError as error:
        raise HookFileError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HookFileError(f"{path} is no TOML: {error}") from None
    if not 1 <= len(sections) <= MOST_HOOKS:
        raise HookFileError(f"{path} must have 1 to {MOST_HOOKS} sections, one for each hook")
    return tuple(_Section(path, name, values).hook() for name, values in sections.items())


class _Section:
    def __init__(self, path: Path, name: str, values: Any) -> None:
        self._path = path
        self._name = name
        if not _NAME.fullmatch(name) or not isinstance(values, dict):
            raise HookFileError(f"{path}: [{name[:60]}] must be a section named by a-z, 0-9 and -")
        self._values: dict[str, Any] = values

    def hook(self) -> Hook:
        scheme = self._values.get("scheme")
        if scheme not in SCHEMES:
            raise self._wrong("scheme", f"must be one of {', '.join(SCHEMES)}")
        allowed = _KEYS_OF[scheme]
        for key in self._values:
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                raise self._wrong(key, f"is not known for {scheme}; allowed are {known}")
        encoding = self._values.get("encoding", "hex")
        if encoding not in ("hex", "base64"):
            raise self._wrong("encoding", "must be hex or base64")
        return Hook(
            name=self._name,
            scheme=scheme,
            secrets=self._secrets(scheme),
            type=self._type(),
            id=self._place("id", _IDS.get(scheme)),
            subject=self._place("subject", None),
            max_bytes=int(self._number("max_bytes", 0, 0, 16_777_216)),
            origins=self._origins(),
            tolerance_s=self._number("tolerance_s", 300, 1, 86_400),
            signature_header=self._header("header", "x-signature") or "",
            signature_prefix=self._text("prefix", ""),
            encoding=encoding,
            timestamp_header=self._header("timestamp_header", None),
        )

    def _secrets(self, scheme: str) -> tuple[bytes, ...]:
        """One secret or, while it is changed, several: text, a list, or the lines of a file."""
        given = self._values.get("secret")
        if (file := self._values.get("secret_file")) is not None:
            if given is not None:
                raise self._wrong("secret", "must not stand beside secret_file")
            try:
                text = (self._path.parent / str(file)).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise self._wrong("secret_file", f"cannot be read: {error}") from None
            given = [line.strip() for line in text.splitlines() if line.strip()]
        given = [given] if isinstance(given, str) else given
        if not given or not isinstance(given, list) or not all(isinstance(s, str) for s in given):
            raise self._wrong("secret", "is required: text, a list of texts, or a secret_file")
        if scheme == "standard":
            try:
                return tuple(key_of(secret) for secret in given)
            except ValueError as error:
                raise self._wrong("secret", str(error)) from None
        if any(len(secret) < MIN_SECRET_CHARS for secret in given):
            raise self._wrong("secret", f"must have at least {MIN_SECRET_CHARS} characters")
        return tuple(secret.encode() for secret in given)

    def _type(self) -> HookType:
        template = self._values.get("type")
        try:
            return HookType.parse(template if isinstance(template, str) else "")
        except ValueError as error:
            raise self._wrong("type", f"is wrong: {error}") from None

    def _place(self, key: str, default: str | None) -> Place | None:
        text = self._values.get(key, default)
        if text is None:
            return None
        try:
            return Place.parse(str(text))
        except ValueError as error:
            raise self._wrong(key, f"is wrong: {error}") from None

    def _origins(self) -> tuple[str, ...]:
        given = self._values.get("origins", [])
        if not isinstance(given, list) or len(given) > _MOST_ORIGINS:
            raise self._wrong("origins", f"must be a list of at most {_MOST_ORIGINS} host names")
        for each in given:
            if each != "*" and not (isinstance(each, str) and _ORIGIN.fullmatch(each)):
                raise self._wrong("origins", f"must have host names or *, not {shown(each)}")
        return tuple(each.lower() for each in given)

    def _header(self, key: str, default: str | None) -> str | None:
        name = self._values.get(key, default)
        if name is None or (isinstance(name, str) and _HEADER.fullmatch(name)):
            return None if name is None else name.lower()
        raise self._wrong(key, "must be the name of a header")

    def _text(self, key: str, default: str) -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str) or len(value) > 100 or not value.isascii():
            raise self._wrong(key, "must be a short text")
        return value

    def _number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._values.get(key, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise self._wrong(key, f"must be a number from {low:g} to {high:g}")
        return value

    def _wrong(self, key: str, rule: str) -> HookFileError:
        return HookFileError(f"{self._path}: [{self._name}] {key[:60]} {rule}")
