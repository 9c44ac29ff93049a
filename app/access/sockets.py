"""Open WebSockets by who opened them: bounded for each, and closed when their right ends."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.access.directory import Directory
from app.access.mask import Mask
from app.access.principal import Principal
from app.access.scopes import Need

if TYPE_CHECKING:
    from app.live.socket import OutboundSocket

_REASON = b"not allowed any more"
# A close frame (RFC 6455 §5.5.1): FIN and opcode 8, length, code 1008 for a broken policy, reason.
_CLOSE = bytes((0x88, 2 + len(_REASON))) + (1008).to_bytes(2) + _REASON


@dataclass(frozen=True, slots=True, eq=False)
class OpenSocket:
    """One WebSocket: whose, what that takes, and the way to end it.

    ``is_masked``: what goes over it is made for who may not see whole payloads.
    """

    principal: Principal
    need: Need
    sock: OutboundSocket
    is_masked: bool = False


class Sockets:
    """For any thread; ``_lock`` guards both collections."""

    def __init__(self, most_each: int, mask: Mask | None = None) -> None:
        self._mask = mask
        self._most_each = most_each
        self._lock = threading.Lock()
        self._open: set[OpenSocket] = set()
        self._counts: Counter[tuple[str, int]] = Counter()

    def enter(self, opened: OpenSocket) -> bool:
        """Count one more; False when somebody has as many as they may have.

        Where nobody signs in all are everybody's, and only the bound on all of them holds.
        """
        key = opened.principal.key
        with self._lock:
            if opened.principal.kind != "everybody" and self._counts[key] >= self._most_each:
                return False
            self._counts[key] += 1
            self._open.add(opened)
            return True

    def leave(self, closed: OpenSocket) -> None:
        """Count one less."""
        key = closed.principal.key
        with self._lock:
            self._open.discard(closed)
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]

    def close_ended(self, directory: Directory) -> None:
        """Close the sockets of whoever may not have them any more; the others count as use."""
        with self._lock:
            current = list(self._open)
        for each in current:
            known = directory.now(each.principal)
            if known.may(each.need) and not self._sees_too_much(each, known):
                directory.keep_alive(each.principal)
                continue
            try:
                each.sock.send(_CLOSE)
            except OSError:
                continue  # it has ended by itself
            each.sock.close()

    def _sees_too_much(self, each: OpenSocket, known: Principal) -> bool:
        if self._mask is None or each.is_masked or each.need == "consume":
            return False
        return self._mask.is_for(known)
