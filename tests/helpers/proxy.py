"""A TCP proxy between a client and a server that can lose connections as a bad network does."""

from __future__ import annotations

import select
import socket
import threading
from typing import Self


class Proxy:
    """Listens on ``port`` and forwards to ``target``; a context manager.

    ``cut`` breaks all connections; while ``is_frozen`` nothing is forwarded and nothing is closed;
    while ``is_away`` there are no connections, as when the server does not run.
    The connection on which ``unanswered`` is sent next gets no answer to that: it is cut instead.
    With ``freezes_after`` it is frozen by itself when so many bytes have come from the server.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_frozen = False
        self._is_away = False
        self.unanswered: bytes | None = None
        self.freezes_after: int | None = None
        self._answered_bytes = 0
        self._lock = threading.Lock()  # guards the pairs
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_closed = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed = True
        self._listener.close()
        self.cut()

    @property
    def is_away(self) -> bool:
        return self._is_away

    @is_away.setter
    def is_away(self, value: bool) -> None:
        self._is_away = value
        if value:
            self.cut()

    def cut(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
                if self._is_away:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        is_unanswered = False
        with client, server:
            while not self._is_closed:
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if self.is_frozen:
                    continue
                for end in ready:
                    try:
                        data = end.recv(65_536)
                        if not data or (is_unanswered and end is server):
                            return
                        if end is client and self.unanswered and self.unanswered in data:
                            is_unanswered, self.unanswered = True, None
                        (server if end is client else client).sendall(data)
                    except OSError:
                        return
                    if end is server:
                        self._count(len(data))

    def _count(self, size: int) -> None:
        self._answered_bytes += size
        if self.freezes_after is not None and self._answered_bytes >= self.freezes_after:
            self.is_frozen = True
