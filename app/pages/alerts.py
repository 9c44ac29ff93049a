"""The page of alerts and the page of one; each decision is an event, with who made it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from app.alert_decisions import ACTIONS, checked_ids, checked_mode, decide, wrong
from app.live.panels import critical_alerts
from app.pages.chart import bars
from app.pages.filters import plural
from app.pages.frame import back_to, example_command, is_htmx, render, with_query
from app.pages.who import NOBODY_NAMED, remember, who
from app.problems import ProblemError
from app.runtime import runtime
from handlers.alert import Alert
from handlers.alert.alerts import BUCKET_S, COUNTED
from handlers.alert.lifecycle import STATES, Severity, State

PAGE_SIZE = 50
_DAY_BUCKETS = 24 * 3600 // BUCKET_S
_LIST_COLUMNS = 48  # half an hour each
_HOUR_COLUMNS = 2
_EVENTS_SHOWN = 20
_CHANGES_SHOWN = 50
_EVALUATIONS_SHOWN = 20
_PAST = {
    "acknowledge": "acknowledged", "resolve": "resolved", "mute": "muted", "unmute": "unmuted",
}  # fmt: skip
_EXAMPLE = '{"type": "alert.warning", "data": {"service": "runner", "error": "disk is full"}}'

_SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")

blueprint = Blueprint("alerts_page", __name__)


@blueprint.get("/alerts")
def alerts() -> str:
    """Alerts that changed last first, by state and severity; "open" has the regressed ones too."""
    return render("alerts.html", "alerts", who=who(), nobody=NOBODY_NAMED, **_list_context())


@blueprint.get("/alerts/<alert_id>")
def alert(alert_id: str) -> str:
    """One alert: its rhythm, what became of it and by whom, its occurrences and evaluations."""
    return render("alert.html", "alerts", **_one_context(_found(alert_id)))


@blueprint.post("/alerts/name")
def name() -> Response:
    """From now on decisions of this browser are made under a name."""
    response = back_to("/alerts")
    remember(response, request.form.get("name", ""))
    return response


@blueprint.post("/alerts/selected")
def change_selected() -> str | Response:
    """Decide about all alerts that were picked; ``do`` is the action, of a mute with its length."""
    action, _, mode = request.form.get("do", "").partition(" ")
    if action not in ACTIONS:
        raise wrong("do", f"must be one of {', '.join(ACTIONS)}, not {action[:40]!r}")
    ids = checked_ids(request.form.getlist("alert"))
    decided = decide(
        runtime(), action, ids, who(), checked_mode(mode) if action == "mute" else None
    )
    if not is_htmx():
        return back_to("/alerts")
    said = f"{plural(len(decided.changed), 'alert')} {_PAST[action]}"
    if others := len(decided.unchanged) + len(decided.unknown):
        said += f", {others} not: that would have changed nothing"
    return render_template("alerts/_list.html", said=said, **_list_context())


@blueprint.post("/alerts/<alert_id>/<action>")
def change(alert_id: str, action: str) -> str | Response:
    """Acknowledge, resolve, mute (``for`` an hour, a day, until it gets worse) or unmute one."""
    if action not in ACTIONS:
        raise ProblemError(404, "Not Found", f"there is no action {action[:40]!r} of an alert")
    mode = checked_mode(request.form.get("for", "")) if action == "mute" else None
    found = _found(alert_id)
    decide(runtime(), action, [found.id], who(), mode)
    if not is_htmx():
        return back_to("/alerts")
    view = request.args.get("view")
    if view == "live":
        return render_template("live/_alerts.html", alerts=critical_alerts(runtime().handlers))
    if view == "one":
        return render_template("alerts/_one.html", **_one_context(_found(alert_id)))
    return render_template("alerts/_list.html", **_list_context())


def _found(alert_id: str) -> Alert:
    found = runtime().handlers.alerts.get(alert_id)
    if found is None:
        raise ProblemError(404, "No such alert", f"there is no alert {alert_id[:100]!r}")
    return found


def _list_context() -> dict[str, Any]:
    of = runtime().handlers.alerts
    args = request.args
    state: State | None = next((each for each in STATES if each == args.get("state")), None)
    severity: Severity | None = next((s for s in _SEVERITIES if s == args.get("severity")), None)
    quiet = "yes" if args.get("quiet") == "yes" else None
    cursor = args.get("cursor")
    page = of.list(
        state, limit=PAGE_SIZE, cursor=cursor, severity=severity, is_quiet=quiet is not None
    )
    chosen = {"state": state, "severity": severity, "quiet": quiet}
    rhythms = of.rhythm(
        [alert.id for alert in page.items], datetime.now(UTC), _LIST_COLUMNS,
        _DAY_BUCKETS // _LIST_COLUMNS,
    )  # fmt: skip
    return {
        "alerts": page.items,
        "rhythms": {id: _spark(values) for id, values in rhythms.items()},
        "tabs": [
            (each, with_query("/alerts", **{**chosen, "state": each}), _count(count))
            for each, count in [(None, None), *of.counts().items()]
        ],
        "state": state,
        "chips": [
            *(
                (each, with_query("/alerts", **{**chosen, "severity": _toggled(each, severity)}),
                 each == severity)
                for each in _SEVERITIES
            ),
            ("quiet", with_query("/alerts", **{**chosen, "quiet": None if quiet else "yes"}),
             quiet is not None),
        ],
        "is_filtered": any(chosen.values()),
        "open_count": of.open_count(),
        "here": with_query("/alerts", **chosen, cursor=cursor),
        "query": with_query("", **chosen, cursor=cursor),
        "next_href": with_query("/alerts", **chosen, cursor=page.next) if page.next else None,
        "first_href": with_query("/alerts", **chosen) if cursor else None,
        "example": example_command(_EXAMPLE),
    }  # fmt: skip


def _phrase(words: str) -> str:
    """For a search of the history, which knows no quote within quotes."""
    return '"' + words.replace('"', " ") + '"'


def _one_context(found: Alert) -> dict[str, Any]:
    parts = runtime()
    of = parts.handlers.alerts
    values = of.rhythm([found.id], datetime.now(UTC), _DAY_BUCKETS)[found.id]
    occurrences = of.occurrences(found.id)
    changes = of.history(found.id, _CHANGES_SHOWN)
    events = [parts.bus.log.get_by_sequence(each.sequence) for each in occurrences[:_EVENTS_SHOWN]]
    times = Counter(each.eval_id for each in occurrences if each.eval_id is not None)
    evaluations = [
        (eval_id, count, parts.handlers.evaluations.get(eval_id))
        for eval_id, count in list(times.items())[:_EVALUATIONS_SHOWN]
    ]
    return {
        "alert": found,
        "words": " ".join(_phrase(part) for part in (found.service, found.error_type)),
        "columns": bars(values),
        "day_count": sum(values),
        "busiest": max(values),
        "changes": changes,
        "decision": next((change for change in changes if change.by is not None), None),
        "events": list(zip(occurrences, events, strict=False)),
        "evaluations": evaluations,
        "evaluation_count": len(times),
        "kept_count": len(occurrences),
        "here": f"/alerts/{found.id}",
        "query": "?view=one",
    }


def _spark(values: Any) -> dict[str, Any]:
    """A day in columns, without the empty ones, and the words for who cannot see them."""
    day, hour = sum(values), sum(values[-_HOUR_COLUMNS:])
    return {
        "bars": [bar for bar in bars(values) if bar.value],
        "label": f"{plural(day, 'occurrence')} in 24 hours, {hour} in the last",
        "day": day,
    }


def _toggled(each: str, chosen: str | None) -> str | None:
    return None if each == chosen else each


def _count(count: int | None) -> str | None:
    """A count as it is shown; those of all but the open ones stop at ``COUNTED``."""
    return None if count is None else f"{count}+" if count == COUNTED else str(count)
