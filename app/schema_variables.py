"""The environment variables of declared event types; part of those in app/config.py."""

from __future__ import annotations

from pathlib import Path

from app.variables import Variable
from eventbus.catalogue import ModeRule, ModeRules
from eventbus.errors import DeclarationError


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError(text)
    return text


def _modes(text: str) -> tuple[ModeRule, ...]:
    try:
        return tuple(ModeRules.parse(text).rules)
    except DeclarationError as error:
        raise ValueError(str(error)) from error


def _unknown(text: str) -> str:
    if text not in ("allow", "warn", "refuse"):
        raise ValueError(text)
    return text


SCHEMA_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_SCHEMAS", "schemas", _folder, "a folder that is there",
        "Where declarations of event types are read from at the start, one JSON file each; see "
        "docs/catalogue.md.",
    ),
    Variable(
        "EVENTBUS_SCHEMA_MODES", "schema_modes", _modes,
        "rules like `evaluation.* enforce; billing.* report`, separated by semicolons; a pattern "
        "and `enforce`, `report` or `off`",
        "What becomes of an event that its schema does not allow: refused, counted, not looked at; "
        "the first rule that matches holds. Without one, what files and the API declare is "
        "enforced unless they say another mode, and the built-in types are reported.",
    ),
    Variable(
        "EVENTBUS_UNKNOWN_TYPES", "unknown_types", _unknown, "allow, warn or refuse",
        "What becomes of an event whose type nobody has declared.",
    ),
)  # fmt: skip
