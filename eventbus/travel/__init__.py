"""Time travel: the read models as they were when the log ended at an earlier event."""

from eventbus.travel.keeper import SnapshotKeeper
from eventbus.travel.past import Past, Travel

__all__ = ["Past", "SnapshotKeeper", "Travel"]
