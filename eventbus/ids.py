"""Event ids: time-ordered UUIDs, so that the log's unique index stays append-only."""

from __future__ import annotations

import hashlib
import os
import random
import time
import uuid

_VARIANT = 0x8000_0000_0000_0000  # RFC 9562 §4.1: the two top bits of the low half are 10
_RANDOM_62 = 0x3FFF_FFFF_FFFF_FFFF

# Ids must be unique, not secret: a generator seeded by the system costs a tenth of a system call
# each time. It is our own, so that nobody's random.seed() repeats ids, and new after a fork.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


# How far the clock may be set back before ids follow it. Ids that went back would be written into
# the middle of the log's unique index; ids that never did would stay in a future that never was.
_HELD_BACK_NS = 60 * 1_000_000_000
_newest_ns = 0


def new_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7) whose sub-millisecond bits follow the clock (§6.2, method 3).

    While the clock is behind the newest id by at most a minute, ids keep that id's time (§6.2).
    """
    global _newest_ns
    nanoseconds = time.time_ns()
    if 0 < _newest_ns - nanoseconds <= _HELD_BACK_NS:
        nanoseconds = _newest_ns
    else:  # two threads may do this at once: either time is right
        _newest_ns = nanoseconds
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    when = f"{milliseconds:012x}"
    low = f"{_VARIANT | _random.getrandbits(62):x}"
    return f"{when[:8]}-{when[8:]}-7{fraction:03x}-{low[:4]}-{low[4:]}"


def derived_id(
    cause_source: str, cause_id: str, subscription: str, index: int, bus: str = ""
) -> str:
    """The id of the ``index``-th event that ``subscription`` published while handling a cause.

    The same always give the same id, so that a redelivery cannot publish twice. ``bus`` is the
    name of a bus that has one, which tells it from others that handle the same event. The cause is
    its source and id, as only both together are unique (CloudEvents 1.0.2 §3.1.1). It is a
    UUIDv8 (RFC 9562 §5.8): the cause's time bits, so that it sorts near it, then a SHA-256.
    """
    key = f"{cause_source}\0{cause_id}\0{subscription}\0{index}"
    if bus:
        key += f"\0{bus}"
    digest = hashlib.sha256(key.encode()).digest()
    high = _time_bits(cause_id, digest) << 16 | 0x8000 | int.from_bytes(digest[6:8], "big") & 0xFFF
    low = _VARIANT | int.from_bytes(digest[8:16], "big") & _RANDOM_62
    return _text(high, low)


def _time_bits(cause_id: str, digest: bytes) -> int:
    try:
        cause = uuid.UUID(cause_id)
    except ValueError:
        return int.from_bytes(digest[:6], "big")
    return cause.int >> 80


def _text(high: int, low: int) -> str:
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
