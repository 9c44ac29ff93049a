"""What a person decides about evaluations out of retries: the question, and doing it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from app.pages.filters import plural
from app.pages.frame import back_to, is_htmx, with_query
from app.pages.retries import inbox, page_of, wrong
from app.pages.who import who
from app.runtime import runtime
from eventbus.actor import signed
from eventbus.errors import ReceiptTimeoutError
from eventbus.receipt import BatchReceipt
from handlers.evaluation import InboxSelection
from handlers.evaluation.inbox_table import DISMISSED, MAX_REASON_CHARS
from handlers.evaluation.requests import retry_many, why_not_retry

MOST_AT_ONCE = 5_000
_MOST_PICKED = 500
_MAX_ID_CHARS = 1_024
_STEP = 200
_DECIDED_WITHIN_S = 8.0  # no browser should wait longer for its answer
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
        chosen = self.selection
        if chosen.eval_ids or chosen.until is not None:
            return self
        until = runtime().handlers.inbox.last()
        return Asked(self.action, InboxSelection((), chosen.error_class, until))

    @property
    def is_retry(self) -> bool:
        """Whether it is about a retry, for which some may have no room."""
        return self.action == "retry"

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
    return _question(Asked.read().fixed(), request.values.get("reason", "")[:MAX_REASON_CHARS])


@blueprint.post(_PATH)
def decide() -> str | Response | tuple[str, int]:
    """Retry or dismiss the evaluations; ``do`` says which, a dismissal has a ``reason``."""
    asked = Asked.read()
    reason = request.form.get("reason", "").strip()
    if not asked.is_retry and not 1 <= len(reason) <= MAX_REASON_CHARS:
        if is_htmx() or asked.selection.eval_ids:
            raise wrong("reason", f"must be 1 to {MAX_REASON_CHARS} characters that say why")
        return _question(asked, reason, is_wrong=True), 422
    said = _decide(asked, reason)
    if is_htmx():
        return render_template("retries/_inbox.html", said=said, **inbox())
    return back_to(with_query("/retries", error_class=asked.selection.error_class))


def _question(asked: Asked, reason: str = "", *, is_wrong: bool = False) -> str:
    box = runtime().handlers.inbox
    chosen = asked.selection
    total = asked.count()
    context: dict[str, Any] = {
        "asked": asked,
        "total": total,
        "left_out": box.count(chosen) - total,
        "now": min(total, MOST_AT_ONCE),
        "reason": reason,
        "is_wrong": is_wrong,
        "most_chars": MAX_REASON_CHARS,
        "back": with_query("/retries", error_class=chosen.error_class),
    }
    if is_htmx():
        return render_template("retries/_confirm_inbox.html", is_dialog=True, **context)
    return page_of("inbox", "retries/_confirm_inbox.html", None, **context)


def _decide(asked: Asked, reason: str) -> str:
    """Step by step, so that no transaction is long; what was done, in words."""
    total = len(asked.selection.eval_ids) or asked.count()
    done = 0
    receipt: BatchReceipt | None = None
    for ids in _steps(asked):
        step, count = _retry(ids) if asked.is_retry else _dismiss(ids, reason)
        receipt, done = step or receipt, done + count
    if receipt is not None:
        with suppress(ReceiptTimeoutError):  # it is recorded, and the page follows
            receipt.deliveries(_HANDLED_WITHIN_S, until="attempted")
    return _said(asked, done, total)


def _steps(asked: Asked) -> Iterator[list[str]]:
    chosen, box = asked.selection, runtime().handlers.inbox
    if chosen.eval_ids:  # also of the list of what is retried, where none needs a person
        yield list(chosen.eval_ids)
        return
    seen, after, began = 0, 0, time.monotonic()
    while seen < MOST_AT_ONCE and time.monotonic() - began < _DECIDED_WITHIN_S:
        size = min(_STEP, MOST_AT_ONCE - seen)
        some = box.select(chosen, size, after, can_be_retried=asked.is_retry)
        if not some:
            return
        seen, after = seen + len(some), some[-1][0]
        yield [eval_id for _, eval_id in some]


def _said(asked: Asked, done: int, total: int) -> str:
    number = plural(done, "evaluation")
    said = f"A retry of {number} is asked for" if asked.is_retry else f"{number} dismissed"
    if done >= total:
        return said
    if asked.selection.eval_ids:
        return f"{said}; {total - done} could not be retried"
    return f"{said}, of {plural(total, 'evaluation')}: do it again for the rest"


def _retry(ids: list[str]) -> tuple[BatchReceipt | None, int]:
    parts = runtime()
    found = (parts.handlers.evaluations.get(eval_id) for eval_id in ids)
    asked = [each for each in found if each is not None and why_not_retry(each) is None]
    return (retry_many(parts.bus, asked, who()) if asked else None), len(asked)


def _dismiss(ids: list[str], reason: str) -> tuple[BatchReceipt, int]:
    receipt = runtime().bus.publish_many(
        {"type": DISMISSED, "data": {"eval_id": id, **signed(who()), "reason": reason}}
        for id in ids
    )  # fmt: skip
    return receipt, len(ids)
