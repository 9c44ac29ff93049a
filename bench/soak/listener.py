"""One socket of the soak: every event must come once, in order, also over reconnections."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from bench.soak.frames import CLOSE, PING, TEXT, Decision, Message, Reading, frames, pong
from bench.sockets import open_socket

_PATHS = {"stream": "/api/stream", "page": "/live"}
_MOST_PROBLEMS = 5


class Listener:
    """A stream (every sequence is checked) or a page (every message's count is).

    ``position`` is how far it is complete; ``arrivals`` are times and positions not yet taken by
    the owner; ``problems`` what was wrong, in sentences.
    """

    def __init__(
        self, name: str, kind: str, port: int, reading: Reading,
        hear: Callable[[Decision], None] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.kind = kind
        self.position = 0
        self.arrivals: deque[tuple[float, int]] = deque()
        self.problems: list[str] = []
        self.problem_count = 0
        self.reconnections = 0
        self.sock: socket.socket
        self._port = port
        self._reading = reading
        self._hear = hear
        self._data = bytearray()
        self._unfinished = b""

    def connect(self) -> None:
        """Open the socket, or open it again where it was. Raises OSError, RuntimeError."""
        path = f"{_PATHS[self.kind]}?after={self.position}"
        self.sock = open_socket(self._port, path)
        self.sock.setblocking(False)
        self._data.clear()
        self._unfinished = b""

    def read(self, now: float) -> bool:
        """Take what has come; False when the connection has ended."""
        try:
            part = self.sock.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError as error:
            self._complain(f"lost its connection: {error}")
            return False
        if not part:
            self._complain("lost its connection")
            return False
        self._data += part
        for opcode, payload, is_last in frames(self._data):
            if opcode == PING:
                self.sock.sendall(pong(payload))
            elif opcode == CLOSE:
                self._complain(f"was closed by the server: {payload!r}")
            elif opcode in (TEXT, 0):
                self._unfinished += payload
                if is_last:
                    text, self._unfinished = self._unfinished, b""
                    self.take(text, now)
        return True

    def take(self, text: bytes, now: float) -> None:
        """Check a message that came whole at ``now``."""
        try:
            message = self._reading.message(text)
        except (ValueError, KeyError) as error:
            self._complain(f"cannot read a message: {error!r}")
            return
        if message.position is None:
            return
        self.check(message)
        self.position = message.position
        self.arrivals.append((now, message.position))
        if self._hear is not None:
            for decision in message.decisions:
                self._hear(decision)

    def check(self, message: Message) -> None:
        """Note when the message does not go on exactly where the last one ended."""
        position = message.position or 0
        expected = position - self.position
        if message.count != expected:
            what = "a hole" if message.count < expected else "a duplicate"
            self._complain(f"{what}: {message.count} events between {self.position} and {position}")
        elif self.kind == "stream" and message.sequences != tuple(
            range(self.position + 1, position + 1)
        ):
            self._complain(f"wrong sequences between {self.position} and {position}")

    def _complain(self, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{self.name} {problem}")
