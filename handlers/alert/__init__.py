"""Alerts: grouping, their lifecycle, the read model that the screens show, the handler."""

from handlers.alert.alerts import Alert, Alerts
from handlers.alert.handler import AlertHandler
from handlers.alert.lifecycle import Severity, State

__all__ = ["Alert", "AlertHandler", "Alerts", "Severity", "State"]
