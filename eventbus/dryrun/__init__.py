"""A dry run: what events would lead to, found by running handlers whose effects never happen."""

from eventbus.dryrun.run import DryRun
from eventbus.dryrun.values import (
    DryRunResult,
    Foreseen,
    Intent,
    Matching,
    StateChange,
    Trial,
)

__all__ = ["DryRun", "DryRunResult", "Foreseen", "Intent", "Matching", "StateChange", "Trial"]
