"""The pages of what needs a person, what will be tried again by itself, and what was closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from app.evaluation_requests import named
from app.live.panels import most_attempts
from app.pages.attempts import attempts, lifecycle
from app.pages.dead_letter_form import keys_of
from app.pages.frame import back_to, is_htmx, render, with_query
from app.pages.who import NOBODY_NAMED, who
from app.problems import ProblemError
from app.runtime import runtime
from eventbus.log import Operation
from eventbus.log.dead_letters import DeadLetterCount
from handlers.evaluation import InboxItem, InboxSelection
from handlers.evaluation.requests import why_not_retry

PAGE_SIZE = 50
_MOST_GROUPS = 100
_LATELY = 3
_MOST_CHIPS = 12
# Of an operation with more deliveries than this it is not counted what became of them.
_MOST_COUNTED = 5_000

blueprint = Blueprint("retries_page", __name__)


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one error: at which subscriptions how many, of which types.

    ``is_lost``: nobody is subscribed under any of these names any more.
    """

    error_class: str
    count: int
    newest_at: datetime
    subscriptions: list[tuple[str, int]]
    types: list[str]
    is_lost: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """One that needed a person and does so no more: an evaluation, or many dead letters."""

    at: datetime
    item: InboxItem | None = None
    operation: Operation | None = None
    outcomes: dict[str, int] | None = None


def page_of(view: str, template: str, refresh_s: float | None = 3, **context: Any) -> str:
    """A page below "Retries" with its tabs, or for htmx its part alone."""
    if is_htmx() and request.method == "POST":
        return render_template(template, **context)
    parts = runtime()
    counts = parts.bus.log.delivery_counts()
    running = sum(each.state == "running" for each in parts.bus.operations.list(20).operations)
    evaluations = parts.handlers.evaluations.counts()
    tabs = [
        ("inbox", "/retries", "Inbox", parts.handlers.inbox.open_count() + counts["dead"]),
        ("now", "/retries/now", "Retrying", counts["retrying"] + evaluations["retrying"]),
        ("dead", "/retries/dead", "Dead letters", counts["dead"]),
        ("closed", "/retries/closed", "Closed lately", None),
        ("operations", "/retries/operations", "Operations", running or None),
    ]
    title = next(text for name, _, text, _ in tabs if name == view)
    return render(
        "retries.html", "retries", view=view, title=title, part=template, tabs=tabs, who=who(),
        nobody=NOBODY_NAMED, dead_total=counts["dead"], refresh_s=refresh_s,
        here=request.full_path.rstrip("?") if request.method == "GET" else "/retries", **context,
    )  # fmt: skip


# -- the inbox ------------------------------------------------------------------------------------


@blueprint.get("/retries")
def retries() -> str:
    """The inbox: evaluations that used up their retries, and dead letters by error."""
    return page_of("inbox", "retries/_inbox.html", **inbox())


def inbox() -> dict[str, Any]:
    """What the part of the inbox shows, by the request's query."""
    parts = runtime()
    cursor = request.args.get("cursor")
    chosen = request.args.get("error_class") or None
    box = parts.handlers.inbox
    page = box.open(PAGE_SIZE, cursor, chosen)
    matching = InboxSelection(error_class=chosen)
    found = (parts.handlers.evaluations.get(item.eval_id) for item in page.items)
    groups = _grouped(parts.bus.log.dead_letters.counts())
    return {
        "items": page.items,
        "open_count": box.open_count(),
        "error_class": chosen,
        "matching": box.count(matching),
        "retryable": box.count(matching, can_be_retried=True),
        "errors": [
            (name, n, with_query("/retries", error_class=None if name == chosen else name),
             name == chosen)
            for name, n in box.error_classes(_MOST_CHIPS)
        ],
        "why_not": {each.eval_id: why_not_retry(each) for each in found if each is not None},
        "groups": groups[:_MOST_GROUPS],
        "group_count": len(groups),
        "dead_count": sum(group.count for group in groups),
        "lately": _closed(_LATELY),
        "next_href": with_query("/retries", error_class=chosen, cursor=page.next)
        if page.next else None,
        "first_href": with_query("/retries", error_class=chosen) if cursor else None,
        "query": with_query("", error_class=chosen, cursor=cursor),
    }  # fmt: skip


def _grouped(counts: Sequence[DeadLetterCount]) -> list[Group]:
    by_error: dict[str, list[DeadLetterCount]] = {}
    for each in counts:
        by_error.setdefault(each.error_class, []).append(each)
    groups = []
    for error_class, own in by_error.items():
        subscriptions, types = Counter[str](), Counter[str]()
        for each in own:
            subscriptions[each.subscription] += each.count
            types[each.type] += each.count
        groups.append(Group(
            error_class, subscriptions.total(), max(each.newest_at for each in own),
            subscriptions.most_common(), [type for type, _ in types.most_common()],
            all(each.is_removed for each in own),
        ))  # fmt: skip
    return sorted(groups, key=lambda group: -group.count)


# -- what retries now -----------------------------------------------------------------------------


@blueprint.get("/retries/now")
def now() -> str:
    """Evaluations and deliveries that wait for their next attempt, the soonest first."""
    return page_of("now", "retries/_now.html", **_now())


@blueprint.get("/retries/attempts")
def tries() -> str:
    """The attempts of the evaluation ``?eval_id=`` with their tracebacks, as a part of a list."""
    found = named(request.args.get("eval_id", ""))
    spans = attempts(lifecycle(runtime(), found))
    if turned() is not None:
        spans.reverse()
    return render_template("retries/_attempts.html", evaluation=found, spans=spans)


@blueprint.post("/retries/now")
def hurry() -> str | Response:
    """Begin the next attempt of the picked deliveries at once."""
    keys = keys_of(request.form.getlist("delivery"))
    if not keys:
        raise wrong("delivery", "must be given, as 4711@subscription")
    begun = runtime().bus.operations.retry_now(keys, who())
    if not is_htmx():
        return back_to("/retries/now")
    said = f"{len(begun)} {'delivery is' if len(begun) == 1 else 'deliveries are'} tried again"
    if rest := len(keys) - len(begun):
        said += f"; {rest} did not wait any more, or had no room"
    return render_template("retries/_now.html", said=said, **_now())


def _now() -> dict[str, Any]:
    parts = runtime()
    log = parts.bus.log
    cursor = request.args.get("cursor")
    page = log.list_deliveries("retrying", PAGE_SIZE, cursor)
    evaluations = parts.handlers.evaluations.retrying(PAGE_SIZE)
    return {
        "evaluations": evaluations,
        "why_not": {each.eval_id: why_not_retry(each) for each in evaluations},
        "evaluation_count": parts.handlers.evaluations.counts()["retrying"],
        "deliveries": sorted(
            page.deliveries, key=lambda each: (each.next_attempt_at is None, each.next_attempt_at)
        ),
        "delivery_count": log.delivery_counts()["retrying"],
        "most_attempts": most_attempts(parts.bus),
        "is_oldest_first": request.args.get("attempts") == "oldest",
        "query": with_query("", cursor=cursor, attempts=request.args.get("attempts")),
        "turned": with_query("/retries/now", cursor=cursor, attempts=turned()),
        "next_href": with_query("/retries/now", cursor=page.next) if page.next else None,
        "first_href": "/retries/now" if cursor else None,
    }


def turned() -> str | None:
    """The other order of attempts than the one that the request asks for."""
    return None if request.args.get("attempts") == "oldest" else "oldest"


# -- what was closed ------------------------------------------------------------------------------


@blueprint.get("/retries/closed")
def closed() -> str:
    """What needed a person and was closed: by its success, or by somebody."""
    return page_of("closed", "retries/_closed.html", closed=_closed(PAGE_SIZE))


def _closed(limit: int) -> list[Closed]:
    parts = runtime()
    items = (
        Closed(item.closed_at, item=item)
        for item in parts.handlers.inbox.closed(limit).items
        if item.closed_at is not None
    )
    operations = (
        Closed(each.finished_at, operation=each, outcomes=parts.bus.operations.outcomes(
            each.id, _MOST_COUNTED
        ))
        for each in parts.bus.operations.list(limit).operations
        if each.kind in ("redrive", "discard") and each.finished_at is not None and each.done
    )  # fmt: skip
    return sorted(chain(items, operations), key=lambda each: each.at, reverse=True)[:limit]


def wrong(name: str, detail: str) -> ProblemError:
    """A 400 about one field of a form."""
    return ProblemError(
        400, "Wrong form", f"{name} {detail}", [{"pointer": f"/{name}", "detail": detail}]
    )
