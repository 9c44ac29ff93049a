"""How many examples a property test tries: enough for every run, or as many times that as is asked.

EVENTBUS_TEST_EXAMPLES=20 make test ARGS="-k model"
"""

from __future__ import annotations

import os

USUAL = 40
VARIABLE = "EVENTBUS_TEST_EXAMPLES"
_FACTOR = float(os.environ.get(VARIABLE, "1"))


def examples(count: int = USUAL) -> int:
    """``count`` in a usual run."""
    return max(1, round(count * _FACTOR))
