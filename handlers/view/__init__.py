"""Saved views: names for filters, kept for everybody who uses the dashboard."""

from handlers.view.facts import DELETED, MAX_NAME_CHARS, RENAMED, SAVED, name_problem
from handlers.view.handler import ViewHandler
from handlers.view.table import MOST_VIEWS
from handlers.view.views import View, Views

__all__ = [
    "DELETED",
    "MAX_NAME_CHARS",
    "MOST_VIEWS",
    "RENAMED",
    "SAVED",
    "View",
    "ViewHandler",
    "Views",
    "name_problem",
]
