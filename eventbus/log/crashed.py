"""What becomes of attempts that a crash cut off: each counts as one that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eventbus.errors import CrashedAttemptError
from eventbus.log.deliveries import DeliveryReader
from eventbus.log.unit import Outcome


def crashed(
    deliveries: DeliveryReader,
    subscription: int,
    found: Iterable[tuple[int, int]],
    max_attempts: int,
    now_us: int,
) -> Iterator[Outcome]:
    """The outcomes of deliveries (sequence, attempts before) that were in a handler then."""
    for sequence, attempt in found:
        row = deliveries.one(sequence, subscription)
        # One attempt more: it was counted at a start that was itself cut off before "forget".
        if row is None or row[0] not in ("pending", "retrying") or row[1] != attempt:
            continue
        number = row[1] + 1
        is_dead = number >= max_attempts
        yield Outcome(
            sequence,
            subscription,
            "dead" if is_dead else "retrying",
            number,
            now_us,
            now_us,
            due_us=None if is_dead else now_us,
            kind="crashed",
            error_class=CrashedAttemptError.__name__,
            error_message="the process died while this attempt ran",
        )
