"""What a consumer has said and nobody has read yet; bounded: a flood ends its connection."""

from __future__ import annotations

import threading
from collections import deque


class Inbox:
    """Stands in for simple-websocket's list of received messages.

    Its reader thread appends, the connection's own thread takes. OSError is what that reader
    thread understands: it ends the connection.
    """

    def __init__(self, max_messages: int, max_chars: int) -> None:
        self._lock = threading.Lock()  # guards both below
        self._messages: deque[str | bytes] = deque()
        self._chars = 0
        self._max_messages = max_messages
        self._max_chars = max_chars

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, message: str | bytes) -> None:
        with self._lock:
            self._messages.append(message)
            self._chars += len(message)
            is_over = len(self._messages) > self._max_messages or (
                len(self._messages) > 1 and self._chars > self._max_chars
            )
        if is_over:
            raise OSError("the consumer says more than it can have to say")

    def take(self) -> str | bytes | None:
        """The oldest message; None when there is none."""
        with self._lock:
            if not self._messages:
                return None
            message = self._messages.popleft()
            self._chars -= len(message)
            return message
