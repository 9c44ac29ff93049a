"""Rows are rendered many at a time and still are one piece of HTML each."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from flask import Flask
from jinja2 import DictLoader

from app.live.fold import Fold, Row
from app.live.fragments import Fragments, panels_partial
from app.pages.filters import register_filters
from app.variables import PROJECT_ROOT
from eventbus import Event
from tests.helpers.live_page import ShownFold, ShownRows, targets

TIME = datetime(2026, 1, 2, tzinfo=UTC)
BROKEN_FOR_TWO = """{% for row in rows %}
<li data-sequence="{{ row.sequence }}">{{ 1 / (row.sequence - 2) }}</li>
{% endfor %}"""
EVIL = "</li></ol><script>alert(1)</script>"


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask("app", template_folder=str(PROJECT_ROOT / "templates"))
    register_filters(app)
    return app


def event(sequence: int, type: str = "a.b", text: str = "t") -> Event:
    data = json.dumps({"eval_id": text, "error": text, "message": text})
    return Event(f"id-{sequence}", text, type, text, TIME, data, sequence=sequence)


def test_rows_come_in_the_order_given_and_each_only_once(app: Flask) -> None:
    rows: list[Row] = [event(5), Fold("a.b", 1, 7, 1, 4), event(3, "evaluation.failed")]
    fragments = Fragments(app.jinja_env)
    together = fragments.rows(rows)
    assert together == "".join(Fragments(app.jinja_env).rows([row]) for row in rows)
    shown = ShownRows(together)
    assert shown.rows == [5, ShownFold("a.b", 7, 1, 4), 3]


def test_a_row_that_another_view_showed_is_the_same_row(app: Flask) -> None:
    fragments = Fragments(app.jinja_env)
    first = fragments.rows([event(1), event(2)])
    assert fragments.rows([event(2), event(1)]) != first
    assert ShownRows(fragments.rows([event(3), event(2)])).rows == [3, 2]
    fragments.forget()
    assert fragments.rows([event(1), event(2)]) == first


@pytest.mark.parametrize("type", ["a.b", "evaluation.failed", "alert.critical", "queue.task.added"])
def test_text_that_looks_like_the_end_of_a_row_is_text(app: Flask, type: str) -> None:
    html = Fragments(app.jinja_env).rows([event(1, type, EVIL), event(2, type, EVIL)])
    shown = ShownRows(html)
    assert shown.rows == [1, 2]
    assert "script" not in shown.tags
    assert "<script>" in shown.text


def test_an_event_that_the_template_cannot_show_gets_a_plain_row_and_costs_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("broken")
    app.jinja_loader = DictLoader({"live/_rows.html": BROKEN_FOR_TWO})
    html = Fragments(app.jinja_env).rows([event(1), event(2, "a.c"), event(3)])
    assert ShownRows(html).rows == [1, 2, 3]
    assert "2 a.c" in html
    assert "row 2, a.c, could not be rendered" in caplog.text


def test_no_rows_are_no_html(app: Flask) -> None:
    assert Fragments(app.jinja_env).rows([]) == ""


def test_panels_are_morphed_into_their_elements() -> None:
    content = panels_partial([("counters", "<li>1</li>"), ("alerts", "")])
    assert targets({"content": content}) == ["counters", "alerts"]
    assert 'hx-swap="innerMorph"' in content
