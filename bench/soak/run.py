"""The loop of the soak: one thread that posts when it is time and reads every socket."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Sequence

from bench.server import Server
from bench.soak.frames import Reading
from bench.soak.latency import Latencies
from bench.soak.listener import Listener
from bench.soak.producer import Producer

_RECONNECT_S = 20.0
_END_S = 60.0
_PAGE_SHARE = 5  # one socket in so many is a page, the others are streams


class Run:
    """Producer and listeners against one server; ``run`` and then ``finish``, in one thread."""

    def __init__(self, server: Server, rate: float, sockets: int, seed: int) -> None:
        self.latencies = Latencies()
        self.problems: list[str] = []
        self._server = server
        reading = Reading()
        self.listeners = [
            Listener(
                f"socket {number}",
                "page" if number % _PAGE_SHARE == _PAGE_SHARE - 1 else "stream",
                server.port, reading, self._hear if number == 0 else None,
            )
            for number in range(sockets)
        ]  # fmt: skip
        self._selector = selectors.DefaultSelector()
        for listener in self.listeners:
            listener.connect()
            self._selector.register(listener.sock, selectors.EVENT_READ, listener)
        self.producer = Producer(server.port, rate, seed)
        self._selector.register(self.producer.sock, selectors.EVENT_READ, self.producer)
        # Batches that a listener has not been seen to have, each with when it was sent.
        self._awaited: dict[Listener, deque[tuple[int, float]]] = {
            listener: deque() for listener in self.listeners
        }

    def run(self, seconds: float) -> None:
        """Publish and read; stops early when the publisher's connection is lost."""
        started = time.perf_counter()
        reconnect_at = started + _RECONNECT_S
        turn = 0
        while (now := time.perf_counter()) < started + seconds:
            self.producer.send(now)
            wait_s = 0.05 if self.producer.is_waiting else self.producer.wait_s(now)
            if not self._read(min(wait_s, 0.1)):
                return
            if now >= reconnect_at and self.listeners:
                self._reconnect(self.listeners[turn % len(self.listeners)])
                turn += 1
                reconnect_at += _RECONNECT_S

    def finish(self) -> int:
        """Wait until everything is handled and every socket has it; gives the log's end."""
        deadline = time.monotonic() + _END_S
        while self.producer.is_waiting and time.monotonic() < deadline:
            self._read(0.1)
        last = end = -1
        while time.monotonic() < deadline:
            self._read(0.2)
            if not any(self._server.lags().values()):
                last, end = end, self._server.get("/api/stats")["sequence"]
                if last == end and all(one.position == end for one in self.listeners):
                    return end
        lags = {name: lag for name, lag in self._server.lags().items() if lag}
        if lags:
            self.problems.append(f"not handled {_END_S:.0f} s after the last event: {lags}")
        end = self._server.get("/api/stats")["sequence"]
        for one in self.listeners:
            if one.position != end:
                self.problems.append(f"{one.name} ended at {one.position}, the log at {end}")
        return end

    def close(self) -> None:
        for listener in self.listeners:
            listener.sock.close()
        self.producer.sock.close()
        self._selector.close()

    def _hear(self, decision: object) -> None:
        self.producer.hear(decision)  # type: ignore[arg-type]

    def _read(self, timeout_s: float) -> bool:
        for key, _ in self._selector.select(timeout_s):
            source = key.data
            if source is self.producer:
                if not source.read():
                    self._selector.unregister(source.sock)
                    return False
            elif not source.read(time.perf_counter()):
                self._selector.unregister(source.sock)
                self._open(source)
        self._settle()
        return True

    def _reconnect(self, listener: Listener) -> None:
        """Leave as a lost network does, and come back for what was missed."""
        self._selector.unregister(listener.sock)
        listener.sock.close()
        listener.reconnections += 1
        self._open(listener)

    def _open(self, listener: Listener) -> None:
        try:
            listener.connect()
        except (OSError, RuntimeError) as error:
            self.problems.append(f"{listener.name} could not connect again: {error}")
            return
        self._selector.register(listener.sock, selectors.EVENT_READ, listener)

    def _settle(self) -> None:
        """Count the time from sending a batch to the frame that completes it, for every socket."""
        if self.producer.sent:
            for awaited in self._awaited.values():
                awaited.extend(self.producer.sent)
            self.producer.sent.clear()
        for listener in self.listeners:
            _match(self._awaited[listener], listener.arrivals, self.latencies)


def _match(
    awaited: deque[tuple[int, float]], arrivals: deque[tuple[float, int]], latencies: Latencies
) -> None:
    while awaited and arrivals:
        last, sent_at = awaited[0]
        arrived_at, position = arrivals[0]
        if position < last:
            arrivals.popleft()
        else:
            latencies.add(arrived_at - sent_at)
            awaited.popleft()


def all_problems(listeners: Sequence[Listener]) -> list[str]:
    """What was wrong at any socket."""
    return [problem for listener in listeners for problem in listener.problems]
