"""The independent checker: reads a database and the journals and says what must not be.

It knows nothing of the bus but its tables, its promises and the handlers of the harness, whose
rules it states once more; it imports nothing of the bus.

    python -m tests.crash.checker DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.crash.check_deliveries import check_deliveries
from tests.crash.check_effects import check_effects
from tests.crash.check_log import check_log
from tests.crash.facts import Facts, Finding


def check(directory: Path) -> tuple[Facts, list[Finding]]:
    """What a place's files say, and all findings; the bus must be closed."""
    url = directory / "url"
    database = url.read_text() if url.exists() else directory / "events.db"
    facts = Facts(database, directory / "journals", directory / "runs.log")
    return facts, [*check_log(facts), *check_deliveries(facts), *check_effects(facts)]


if __name__ == "__main__":
    _, findings = check(Path(sys.argv[1]))
    for finding in findings:
        print(f"{finding.rule}: {finding.text}")
    sys.exit(1 if findings else 0)
