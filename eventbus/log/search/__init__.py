"""An index of the history beside the log: words and counts per time, filled behind the log."""

from eventbus.log.search.histogram import Bar, Histogram, histogram
from eventbus.log.search.index import Index, IndexState

__all__ = ["Bar", "Histogram", "Index", "IndexState", "histogram"]
