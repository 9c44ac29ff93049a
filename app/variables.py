"""Environment variables: what one is, and how numbers and choices in them are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parent.parent

# Up to the last "@": who forgets to write one in a password as "%40" shows no part of it.
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_PASSWORD_OPTION = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&\s]*", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<=://)\S+")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: the field that it sets, how it is read, and what to tell people."""

    name: str
    field: str
    parse: Callable[[str], Any]
    allowed: str
    meaning: str
    is_secret: bool = False
    is_hidden: bool = False

    def shown(self, text: str) -> str:
        """A value as it may be shown: no password, of a secret no address, nothing hidden."""
        if self.is_hidden:
            return "***"
        if self.is_secret:
            return _ADDRESS.sub("***", text)
        return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError(text)
    return text.lower() == "yes"
