"""Measurements of the bus against named peers and limits, each pair in the same run."""
