"""The writing side of one WebSocket: nothing that is written here ever waits for the client."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

BACKLOG_BYTES = 512 * 1024
BACKLOG_FRAMES = 256
# What the kernel may hold beside our backlog. Its own choice grows to 4 MB, which a slow phone
# would have to read, all of it stale, before it sees that it fell behind.
_KERNEL_BYTES = 256 * 1024
# Pongs and close frames have room of their own; a peer that fills it without reading is cut off.
_CONTROL_BYTES = 64 * 1024
_BUFFERS_PER_WRITE = 64


class OutboundSocket:
    """Stands in for a client's socket, so that frames of two writers never mix.

    simple-websocket writes handshake, pongs and close frames with ``send`` from its reader thread,
    the hub writes the same bytes to many clients with ``offer``. Either goes straight to the
    kernel when nothing waits, else behind what waits, under one lock and whole. ``drain`` writes
    what waits; it belongs to the client's request thread, which ``on_change`` has to wake.

    ``close`` ends the connection but leaves the file descriptor to the server that opened it: a
    descriptor closed here could belong to another client when the hub writes next.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()  # guards the four below and every write
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._is_closed = False
        self._on_change: Callable[[], None] | None = None
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def has_backlog(self) -> bool:
        """Whether something waits for the client to read."""
        return self._backlog_bytes > 0

    @property
    def backlog_bytes(self) -> int:
        """How much waits for the client to read."""
        return self._backlog_bytes

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended, by whichever side."""
        return self._is_closed

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from any thread, when a backlog or the end begins."""
        self._on_change = callback

    # -- what simple-websocket calls ---------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, for the selector that waits with a time-out for pings."""
        return self._sock.fileno()

    def recv(self, size: int) -> bytes:
        """Block for at most ``size`` bytes from the client; b"" when the connection ended."""
        return self._sock.recv(size)

    def send(self, data: bytes) -> int:
        """Write or queue control frames, without blocking; raises OSError once closed."""
        with self._lock:
            if self._is_closed:
                raise OSError("the WebSocket is closed")
            if self._backlog_bytes + len(data) > BACKLOG_BYTES + _CONTROL_BYTES:
                self._end()
                raise OSError("the client sends but does not read")
            self._write(data)
        self._tell()
        return len(data)

    def close(self) -> None:
        """End the connection in both directions, after one try to write what waits."""
        with self._lock:
            self._flush()
            self._end()
        self._tell()

    # -- what the hub and the session call ---------------------------------------------------

    def offer(self, data: bytes) -> bool:
        """Write or queue whole frames, without blocking.

        False, with nothing written, when too much waits already. A broken connection counts as
        written: its reader thread will notice and clean up.
        """
        with self._lock:
            if self._is_closed:
                return True
            if self._backlog and (
                self._backlog_bytes + len(data) > BACKLOG_BYTES
                or len(self._backlog) >= BACKLOG_FRAMES
            ):
                return False
            self._write(data)
            changed = self._is_closed or self._backlog_bytes > 0
        if changed:
            self._tell()
        return True

    def drain(self, timeout_s: float) -> bool:
        """Write what waits as the client reads, for at most about ``timeout_s`` seconds.

        Returns whether nothing waits any more; a closed connection has nothing waiting.
        """
        with self._lock:
            if self._is_closed or self._flush():
                return True
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLOUT)
        poll.poll(timeout_s * 1000)
        with self._lock:
            return self._is_closed or self._flush()

    # -- under the lock ----------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._backlog:
            self._backlog.append(memoryview(data))
            self._backlog_bytes += len(data)
            return
        sent = 0
        try:
            sent = self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError:
            self._end()
            return
        if sent < len(data):
            self._backlog.append(memoryview(data)[sent:])
            self._backlog_bytes += len(data) - sent

    def _flush(self) -> bool:
        while self._backlog:
            buffers = list(itertools.islice(self._backlog, _BUFFERS_PER_WRITE))
            try:
                sent = self._sock.sendmsg(buffers, (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                self._end()
                return True
            self._backlog_bytes -= sent
            while sent:
                first = self._backlog.popleft()
                if len(first) > sent:
                    self._backlog.appendleft(first[sent:])
                    break
                sent -= len(first)
        return True

    def _end(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._backlog.clear()
        self._backlog_bytes = 0
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the peer was faster
            return

    # -- outside the lock --------------------------------------------------------------------

    def _tell(self) -> None:
        if self._on_change is not None and (self._is_closed or self._backlog_bytes):
            self._on_change()
