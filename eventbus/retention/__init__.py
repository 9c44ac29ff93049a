"""Retention: which events and payloads may go, and how they go without anybody waiting."""

from __future__ import annotations

from eventbus.retention.rules import RetentionRule, RetentionRules
from eventbus.retention.run import Removed, Retention

__all__ = ["Removed", "Retention", "RetentionRule", "RetentionRules"]
