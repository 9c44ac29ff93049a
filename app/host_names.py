"""Host names and addresses in the configuration: how they are read."""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*\.?")


def host(text: str) -> str:
    address = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        if len(text) > 253 or not _NAME.fullmatch(text):
            raise
        return text.lower()


def host_names(text: str) -> tuple[str, ...]:
    if text == "*":
        return ()
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if name != "[::1]" and not _NAME.fullmatch(name.removeprefix(".")):
            raise ValueError(text)
    return names
