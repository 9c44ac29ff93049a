"""How much is measured: rounds, and the sizes of what takes long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """``rounds`` measurements make a median; ``events`` are in the large log, ``travelled`` in the
    one whose past is shown; ``published`` go through the server whose memory is watched.
    """

    rounds: int = 3
    events: int = 5_000_000
    travelled: int = 1_000_000
    published: int = 1_000_000
