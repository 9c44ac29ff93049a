"""Ports for servers that cannot be asked for theirs, or have to be told it before they start."""

from __future__ import annotations

import random
import socket
import sys
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX = (32_768, 60_999)  # what it says unless it was changed
_LOWEST, _HIGHEST = 10_240, 65_535
_claims: list[socket.socket] = []  # until this process ends
_chance = random.SystemRandom()


def free_port() -> int:
    """A port of the loopback interface that nobody has now, nor is given by chance.

    The system gives connections ports of a range of its own, and one of those may be taken before
    the server is there, or while it is started again. No other process of the tests gets it.
    """
    ports = _never_given()
    while True:
        port = _chance.choice(ports)
        claim = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":  # which has names that end with the process
                claim.bind(f"\0eventbus-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return port


def _never_given() -> range:
    try:
        low, high = map(int, _RANGE.read_text().split())
    except (OSError, ValueError):
        low, high = _LINUX
    below, above = range(_LOWEST, low), range(high + 1, _HIGHEST + 1)
    return max(below, above, range(_LOWEST, _LOWEST + 1_000), key=len)
