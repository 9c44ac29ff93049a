"""The table of evaluations: filters, order and page are the URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.api.evaluations import query as read_query
from app.pages.filters import as_of, evaluation_href
from app.pages.frame import CURL, render, with_query
from app.pages.travel import lasting, page_models, problem_page, travels
from app.problems import ProblemError
from eventbus.errors import CursorError, TravelError
from handlers.evaluation import Evaluation, EvaluationQuery, Evaluations
from handlers.evaluation.lifecycle import STATES
from handlers.evaluation.listing import SEARCHED
from handlers.page import Page
from handlers.travel import Place

PAGE_SIZE = 50
FIELDS = ("state", "task", "model", "q", "sort", "order")
FILTERS = ("task", "model", "q")
# The columns as they stand in the table: their sort, their heading, which way a first click sorts.
COLUMNS = (
    ("state", "State", "asc"),
    ("eval_id", "Evaluation", "asc"),
    ("attempt", "Attempt", "desc"),
    (None, "Progress", ""),
    ("elapsed", "Elapsed", "desc"),
    ("task", "Task", "asc"),
    ("model", "Model", "asc"),
    (None, "Last error", ""),
    ("started", "Started", "desc"),
)
_EXAMPLE = '{"type": "evaluation.started", "data": {"eval_id": "eval-1", "task": "gsm8k"}}'

blueprint = Blueprint("evaluations_page", __name__)


@dataclass(slots=True)
class EvaluationsForm:
    """The filter as given (``values``) and what is wrong with it, in sentences."""

    values: dict[str, str]
    moment: Place | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the state narrows the list."""
        return any(name in self.values for name in FILTERS)

    @property
    def sort(self) -> tuple[str, str]:
        """The column and the way that the list is sorted."""
        return self.values.get("sort", "started"), self.values.get("order", "desc")

    def href(self, **changes: str | None) -> str:
        """This list with some values changed, from its first page."""
        wanted = {**self.values, **changes}
        if (wanted.get("sort") or "started", wanted.get("order") or "desc") == ("started", "desc"):
            wanted.update(sort=None, order=None)
        return as_of(with_query("/evaluations", **wanted), self.moment)

    def headings(self) -> list[dict[str, Any]]:
        """The heads of the columns: text, where a click leads, and how it is sorted now."""
        sort, order = self.sort
        return [
            {
                "text": text,
                "href": name and self.href(sort=name, order=self._next_order(name, first)),
                "sorted": {"asc": "ascending", "desc": "descending"}[order] if name == sort else "",
            }
            for name, text, first in COLUMNS
        ]

    def _next_order(self, name: str, first: str) -> str:
        sort, order = self.sort
        if name != sort:
            return first
        return "asc" if order == "desc" else "desc"


@blueprint.get("/evaluations")
def evaluations() -> str | Response | tuple[str, int]:
    """One page of the evaluations that match, 50 at most; now or as of ``?at=``."""
    wanted = request.args.get("eval_id", "").strip()
    if wanted:
        return redirect(evaluation_href(wanted))
    if any(not value for value in request.args.values()):
        # A form sends its empty fields too; a link to the result should not carry them.
        return redirect(with_query("/evaluations", **request.args.to_dict()))
    try:
        if address := lasting():
            return address
        with page_models("/evaluations") as (handlers, travel):
            return _list(handlers.evaluations, travel)
    except (TravelError, ProblemError) as error:
        if not travels():
            raise
        return problem_page("/evaluations", "evaluations", error)


def _list(known: Evaluations, travel: dict[str, Any]) -> str | tuple[str, int]:
    given = {name: request.args[name] for name in FIELDS if name in request.args}
    form = EvaluationsForm(given, travel["moment"])
    query = EvaluationQuery()
    page: Page[Evaluation] = Page([], None)
    try:
        query = read_query(PAGE_SIZE)
        page = known.search(query)
    except (ProblemError, CursorError) as error:
        form.errors.append(str(error))
    counts = known.count_by_state(query) if query.is_filtered else known.counts()
    html = render(
        "evaluations.html",
        "evaluations",
        form=form,
        evaluations=page.items,
        exact=known.get(query.text) if query.text else None,
        tabs=_tabs(form, counts),
        names=known.names(),
        columns=[(name, text) for name, text, _ in COLUMNS if name],
        searched=SEARCHED if query.text else None,
        next_href=form.href(cursor=page.next) if page.next else None,
        first_href=form.href() if query.cursor else None,
        example=CURL.format(base=request.host_url.rstrip("/"), body=_EXAMPLE),
        **travel,
    )
    return (html, 400) if form.errors else html


def _tabs(form: EvaluationsForm, counts: dict[str, int]) -> list[dict[str, Any]]:
    """The states with how many match in each, and all of them together."""
    chosen = form.values.get("state")
    total = sum(counts[state] for state in STATES)
    tabs = [{"state": None, "count": total, "href": form.href(state=None), "current": not chosen}]
    tabs += [
        {
            "state": state,
            "count": counts[state],
            "href": form.href(state=state),
            "current": state == chosen,
        }
        for state in STATES
    ]
    return tabs
