"""The page of dead letters: filter, pick, and the question before many of them are changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from app.pages.dead_letter_form import FIELDS, PATH, DeadLetterForm, keys_of
from app.pages.frame import is_htmx, with_query
from app.pages.retries import PAGE_SIZE, page_of, turned, wrong
from app.pages.who import who
from app.runtime import runtime
from eventbus.errors import CursorError
from eventbus.log import Selection
from eventbus.log.values import DeliveryPage
from eventbus.operations import Preview

MAX_REASON_CHARS = 1_000
# Above this a filter by time is not counted for the list: the question before a change always is.
_MOST_COUNTED = 10_000
_CHIPS = 8

Kind = Literal["redrive", "discard"]

blueprint = Blueprint("dead_letters_page", __name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question is about: picked deliveries, or all that fit a filter."""

    kind: Kind
    keys: tuple[tuple[int, str], ...]
    form: DeadLetterForm

    @classmethod
    def read(cls) -> Asked:
        """Raises ProblemError for a form that no page of ours sends."""
        given = request.values
        kind = given.get("do", "")
        if kind not in ("redrive", "discard"):
            raise wrong("do", f"must be redrive or discard, not {kind[:40]!r}")
        keys = () if given.get("all") == "yes" else keys_of(given.getlist("delivery"))
        if not keys and given.get("all") != "yes":
            # Nothing picked must never mean everything.
            raise wrong("delivery", "must be given, or all=yes for all that match the filter")
        form = DeadLetterForm.read(given)
        form.selection()
        if form.errors:
            name, detail = next(iter(form.errors.items()))
            raise wrong(name, detail)
        return cls("redrive" if kind == "redrive" else "discard", keys, form)

    @property
    def selection(self) -> Selection:
        """The dead letters that are meant."""
        if not self.keys:
            return self.form.selection()
        only = self.form.values.get("subscription")
        return Selection(deliveries=tuple(key for key in self.keys if only in (None, key[1])))

    def preview(self) -> Preview:
        """How many they are, by subscription."""
        selection = self.selection
        if selection.deliveries == ():
            return Preview(0, {}, {})
        return runtime().bus.operations.preview(self.kind, selection)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What a form has to send to mean the same."""
        chosen = [("delivery", f"{sequence}@{name}") for sequence, name in self.keys]
        filter = self.form.fixed()
        return [
            ("do", self.kind), *(chosen or [("all", "yes")]),
            *((name, filter[name]) for name in FIELDS if name in filter),
        ]  # fmt: skip


@blueprint.get(PATH)
def dead_letters() -> str | Response | tuple[str, int]:
    """One page of dead letters, newest first; the filter is the URL."""
    if any(not value for value in request.args.values()):
        return redirect(with_query(PATH, **request.args.to_dict()))
    form = DeadLetterForm.read(request.args)
    selection = form.selection()
    log = runtime().bus.log
    cursor = request.args.get("cursor")
    page = DeliveryPage([], None)
    if not form.errors:
        try:
            page = log.list_deliveries("dead", PAGE_SIZE, cursor, selection)
        except CursorError as error:
            form.errors["cursor"] = str(error)
    groups = log.dead_letters.counts(selection) if not form.errors else []
    everything = log.dead_letters.counts()
    matching = None if form.errors else _matching(form, selection, sum(g.count for g in groups))
    removed = {group.subscription for group in everything if group.is_removed}
    html = page_of(
        "dead", "retries/_dead.html", 5,
        form=form,
        letters=page.deliveries,
        matching=matching,
        redrivable=any(not group.is_removed for group in groups),
        removed=removed,
        types=sorted({group.type for group in everything}),
        subscriptions=sorted({group.subscription for group in everything}),
        errors=_chips(form),
        is_oldest_first=request.args.get("attempts") == "oldest",
        turned=form.href(cursor=cursor, attempts=turned()),
        redrive_href=form.href("/retries/confirm", do="redrive", all="yes"),
        discard_href=form.href("/retries/confirm", do="discard", all="yes"),
        next_href=form.href(cursor=page.next) if page.next else None,
        first_href=form.href() if cursor else None,
    )  # fmt: skip
    return (html, 400) if form.errors else html


@blueprint.route("/retries/confirm", methods=["GET", "POST"])
def confirm() -> str:
    """The question: how many would be redriven or discarded, where, and for a discard why."""
    return _question(Asked.read(), request.values.get("reason", "")[:MAX_REASON_CHARS])


@blueprint.post("/retries/operations")
def begin() -> Response | tuple[str, int]:
    """Do what the question was about; its operation is followed on a page of its own."""
    asked = Asked.read()
    reason = request.form.get("reason", "").strip()
    is_wrong = len(reason) > MAX_REASON_CHARS or (asked.kind == "discard" and not reason)
    if is_wrong or asked.preview().total == 0:
        return _question(asked, reason, is_wrong=is_wrong), 422
    operations = runtime().bus.operations
    if asked.kind == "redrive":
        operation = operations.redrive(asked.selection, who(), reason or None)
    else:
        operation = operations.discard(asked.selection, who(), reason)
    return redirect(f"/retries/operations/{operation.id}", 303)


def _question(asked: Asked, reason: str = "", *, is_wrong: bool = False) -> str:
    preview = asked.preview()
    context: dict[str, Any] = {
        "asked": asked,
        "preview": preview,
        "parts": sorted(preview.subscriptions.items(), key=lambda part: -part[1]),
        "excluded": sorted(preview.excluded.items()),
        "reason": reason,
        "is_wrong": is_wrong,
        "most_chars": MAX_REASON_CHARS,
        "only": asked.form.values.get("subscription"),
        "back": "/retries/dead" if asked.keys else asked.form.href(),
    }
    if is_htmx():
        return render_template("retries/_confirm.html", **context)
    return page_of("dead", "retries/_confirm.html", None, **context)


def _matching(form: DeadLetterForm, selection: Selection, kept: int) -> int | None:
    """How many fit the filter; None when that would take too long to count for a list."""
    if not form.is_timed:
        return kept
    if kept > _MOST_COUNTED:
        return None
    return runtime().bus.operations.preview("discard", selection).total


def _chips(form: DeadLetterForm) -> list[tuple[str, int, str, bool]]:
    """The most frequent errors of the filter without its error: name, count, link, is it chosen."""
    others = DeadLetterForm({k: v for k, v in form.values.items() if k != "error_class"})
    counts: Counter[str] = Counter()
    for group in runtime().bus.log.dead_letters.counts(others.selection()):
        counts[group.error_class] += group.count
    chosen = form.values.get("error_class")
    return [
        (name, count, form.href(error_class=None if name == chosen else name), name == chosen)
        for name, count in counts.most_common(_CHIPS)
        if name
    ]
