"""Answers that the bus may not have yet: kept, so that no handler runs twice for want of one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

MAX_ANSWERS = 2_000
MAX_ANSWERS_BYTES = 16 * 1024 * 1024
# How long a success is remembered that the bus has never confirmed. A bus that was killed asks
# again as soon as it is back; who asks much later wants the event handled once more.
_REMEMBERED_S = 300.0

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to a delivery, without the delivery's number: the JSON members that follow it."""

    key: Key
    word: str
    rest: str
    at: float

    def frame(self, delivery: int) -> str:
        return f'{{"{self.word}":{delivery}{self.rest}}}'


class Answers:
    """By delivery within a session of the bus, and successes also by event, beyond it.

    Bounded in number and bytes; beyond that the oldest are forgotten, and should the bus ask for
    those again, their handlers run again.
    """

    def __init__(self) -> None:
        self._session = ""
        self._by_delivery: dict[int, Key] = {}
        self._failures: dict[int, Given] = {}
        self._successes: OrderedDict[Key, Given] = OrderedDict()
        self._bytes = 0

    def begin(self, session: str, held: Iterable[int]) -> None:
        """A connection has begun; of the same session only ``held`` will be asked for."""
        if session != self._session:
            self._session = session
            self._by_delivery.clear()
            self._failures.clear()
        self.settle(set(self._by_delivery) - set(held))

    def keep(self, delivery: int | None, key: Key, word: str, rest: str) -> Given:
        """Keep an answer; ``delivery`` is None when the bus has yet to ask for it again."""
        given = Given(key, word, rest, time.monotonic())
        if word == "ack":
            self._forget(key)
            self._successes[key] = given
            self._bytes += len(rest)
        elif delivery is not None:
            self._failures[delivery] = given
        if delivery is not None:
            self._by_delivery[delivery] = key
        self._make_room()
        return given

    def find(self, delivery: int, key: Key) -> Given | None:
        """What was answered to this delivery, or before a restart to this event."""
        self._forget_old()
        given = self._failures.get(delivery) or self._successes.get(key)
        if given is not None:
            self._by_delivery[delivery] = key
        return given

    def settle(self, deliveries: Iterable[int]) -> None:
        """These answers are in the log."""
        for delivery in deliveries:
            self._failures.pop(delivery, None)
            key = self._by_delivery.pop(delivery, None)
            if key is not None:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        given = self._successes.pop(key, None)
        if given is not None:
            self._bytes -= len(given.rest)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - _REMEMBERED_S
        while self._successes and next(iter(self._successes.values())).at < oldest:
            self._forget(next(iter(self._successes)))

    def _make_room(self) -> None:
        self._forget_old()
        while len(self._successes) > MAX_ANSWERS or self._bytes > MAX_ANSWERS_BYTES:
            self._forget(next(iter(self._successes)))
        for kept in (self._failures, self._by_delivery):
            while len(kept) > MAX_ANSWERS:
                del kept[next(iter(kept))]
