"""What a person decides about evaluations out of retries: the question, and doing it.

A few that were picked are decided about at once; all that match by an operation, which is followed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.api.selections import MAX_RATE
from app.pages.filters import plural
from app.pages.frame import back_to, is_htmx, with_query
from app.pages.replay_form import parse_rate
from app.pages.retries import PAGE_SIZE, inbox, page_of, wrong
from app.pages.who import who
from app.runtime import runtime
from eventbus.errors import ReceiptTimeoutError
from eventbus.receipt import BatchReceipt
from handlers.evaluation import InboxSelection
from handlers.evaluation.inbox_table import MAX_REASON_CHARS
from handlers.evaluation.requests import can_be_retried, dismissed, retry_many

_MOST_AT_ONCE = PAGE_SIZE  # no page shows more to pick from
_MOST_PICKED = 500
_MAX_ID_CHARS = 1_024
_HANDLED_WITHIN_S = 3.0
_PATH = "/retries/evaluations"

Action = Literal["retry", "dismiss"]

blueprint = Blueprint("inbox_page", __name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is decided about: picked evaluations, or all that need a person, of a class of error."""

    action: Action
    selection: InboxSelection

    @classmethod
    def read(cls) -> Asked:
        """Raises ProblemError for a form that no page of ours sends."""
        given = request.values
        action = given.get("do", "")
        if action not in ("retry", "dismiss"):
            raise wrong("do", f"must be retry or dismiss, not {action[:40]!r}")
        is_all = given.get("all") == "yes"
        ids = () if is_all else tuple(dict.fromkeys(given.getlist("evaluation")))
        # Nothing picked must never mean everything.
        if not is_all and not 1 <= len(ids) <= _MOST_PICKED:
            raise wrong("evaluation", f"must be 1 to {_MOST_PICKED} ids, not {len(ids)}")
        if any(not 1 <= len(id) <= _MAX_ID_CHARS for id in ids):
            raise wrong("evaluation", f"must be ids of 1 to {_MAX_ID_CHARS} characters")
        error_class = given.get("error_class") or None
        until = given.get("until", "")
        if until and not (until.isascii() and until.isdecimal() and len(until) < 19):
            raise wrong("until", f"must be a sequence, not {until[:40]!r}")
        chosen = InboxSelection(
            ids, error_class if is_all else None, int(until) if until and is_all else None
        )
        return cls("retry" if action == "retry" else "dismiss", chosen)

    def fixed(self) -> Asked:
        """The same, without what comes while the question is read."""
        if self.selection.eval_ids:
            return self
        return Asked(self.action, runtime().handlers.inbox.fixed(self.selection))

    @property
    def is_retry(self) -> bool:
        """Whether it is about a retry, for which some may have no room."""
        return self.action == "retry"

    @property
    def is_long(self) -> bool:
        """Whether it is done step by step, on a page that shows how far it is."""
        return not 1 <= len(self.selection.eval_ids) <= _MOST_AT_ONCE

    def count(self) -> int:
        """How many can be decided about in this way now."""
        return runtime().handlers.inbox.count(self.selection, can_be_retried=self.is_retry)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What a form has to send to mean the same."""
        chosen = self.selection
        meant = [("evaluation", id) for id in chosen.eval_ids] or [("all", "yes")]
        if chosen.error_class is not None:
            meant.append(("error_class", chosen.error_class))
        if chosen.until is not None:
            meant.append(("until", str(chosen.until)))
        return meant


@blueprint.route(f"{_PATH}/confirm", methods=["GET", "POST"])
def confirm() -> str:
    """The question: how many would be retried or dismissed, which are left out, and why."""
    return _question(Asked.read().fixed(), {})


@blueprint.post(_PATH)
def decide() -> str | Response | tuple[str, int]:
    """Retry or dismiss the evaluations; ``do`` says which, a dismissal has a ``reason``.

    What takes longer begins an operation and leads to its page; a retry may have a ``rate`` then.
    """
    asked = Asked.read()
    errors: dict[str, str] = {}
    reason = request.form.get("reason", "").strip()
    if len(reason) > MAX_REASON_CHARS or not (reason or asked.is_retry):
        errors["reason"] = f"must be 1 to {MAX_REASON_CHARS} characters that say why"
    rate = _rate(errors)
    if asked.is_long:
        if errors or not asked.count():
            return _question(asked, errors), 422
        return _begin(asked, reason, rate)
    for name, detail in errors.items():
        raise wrong(name, detail)
    said = _decide(asked, reason)
    if is_htmx():
        return render_template("retries/_inbox.html", said=said, **inbox())
    return back_to(with_query("/retries", error_class=asked.selection.error_class))


def _rate(errors: dict[str, str]) -> float | None:
    text = request.form.get("rate", "").strip()
    try:
        return parse_rate(text) if text else None
    except ValueError:
        errors["rate"] = f"must be a number above 0 and up to {MAX_RATE:g}"
        return None


def _question(asked: Asked, errors: dict[str, str]) -> str:
    chosen = asked.selection
    total = asked.count()
    context: dict[str, Any] = {
        "asked": asked,
        "total": total,
        "left_out": runtime().handlers.inbox.count(chosen) - total,
        "reason": request.values.get("reason", "")[:MAX_REASON_CHARS],
        "rate": request.values.get("rate", "")[:40],
        "errors": errors,
        "most_chars": MAX_REASON_CHARS,
        "back": with_query("/retries", error_class=chosen.error_class),
    }
    if is_htmx():
        return render_template("retries/_confirm_inbox.html", is_dialog=True, **context)
    return page_of("inbox", "retries/_confirm_inbox.html", None, **context)


def _begin(asked: Asked, reason: str, rate: float | None) -> Response:
    decisions = runtime().handlers.decisions
    if asked.is_retry:
        operation = decisions.retry(asked.selection, who(), reason or None, rate)
    else:
        operation = decisions.dismiss(asked.selection, who(), reason)
    return redirect(f"/retries/operations/{operation.id}", 303)


def _decide(asked: Asked, reason: str) -> str:
    """At once; what was done, in words."""
    ids = asked.selection.eval_ids
    receipt, done = _retry(ids) if asked.is_retry else _dismiss(ids, reason)
    if receipt is not None:
        with suppress(ReceiptTimeoutError):  # it is recorded, and the page follows
            receipt.deliveries(_HANDLED_WITHIN_S, until="attempted")
    number = plural(done, "evaluation")
    said = f"A retry of {number} is asked for" if asked.is_retry else f"{number} dismissed"
    rest = len(ids) - done
    return f"{said}; {rest} could not be retried" if rest else said


def _retry(ids: tuple[str, ...]) -> tuple[BatchReceipt | None, int]:
    parts = runtime()
    found = (parts.handlers.evaluations.get(eval_id) for eval_id in ids)
    asked = can_be_retried(found)
    return (retry_many(parts.bus, asked, who()) if asked else None), len(asked)


def _dismiss(ids: tuple[str, ...], reason: str) -> tuple[BatchReceipt, int]:
    by = who()
    receipt = runtime().bus.publish_many(dismissed(id, by, reason) for id in ids)
    return receipt, len(ids)
