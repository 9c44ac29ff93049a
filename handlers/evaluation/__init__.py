"""Evaluations: their lifecycle, the read model that the screens show, the handler that keeps it."""

from handlers.evaluation.decisions import Decisions
from handlers.evaluation.evaluations import Evaluation, Evaluations
from handlers.evaluation.handler import EvaluationHandler
from handlers.evaluation.inbox import Inbox, InboxItem, InboxSelection
from handlers.evaluation.lifecycle import State
from handlers.evaluation.listing import EvaluationQuery

__all__ = [
    "Decisions",
    "Evaluation",
    "EvaluationHandler",
    "EvaluationQuery",
    "Evaluations",
    "Inbox",
    "InboxItem",
    "InboxSelection",
    "State",
]
