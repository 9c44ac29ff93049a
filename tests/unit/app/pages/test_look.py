"""Hues, icons and tones: known, stable, and complete for what the handlers can say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from app.pages import look
from app.pages.filters import evaluation_href, event_href, rate
from eventbus import Event
from eventbus.log.values import AttemptOutcome, DeliveryState
from handlers.alert.lifecycle import RANKS
from handlers.alert.lifecycle import STATES as ALERT_STATES
from handlers.evaluation.lifecycle import STATES as EVALUATION_STATES

STATIC = Path(__file__).resolve().parents[4] / "static"


def test_every_state_has_a_hue_and_an_icon_of_its_own() -> None:
    states = {*EVALUATION_STATES, *ALERT_STATES, *get_args(DeliveryState),
              *get_args(AttemptOutcome), *RANKS}  # fmt: skip
    assert states - look.STATE_HUES.keys() == set()
    assert states - look.STATE_ICONS.keys() == set()


def test_every_hue_is_defined_and_every_icon_is_drawn() -> None:
    css = (STATIC / "css" / "tokens.css").read_text()
    hues = {*look.FAMILY_HUES.values(), *look.OTHER_HUES, *look.STATE_HUES.values()}
    assert {hue for hue in hues if f".hue-{hue} " not in css} == set()
    sprite = (STATIC / "icons" / "sprite.svg").read_text()
    drawn = set(re.findall(r'<symbol id="(\w+)"', sprite))
    assert set(look.STATE_ICONS.values()) - drawn == set()


def test_an_unknown_family_always_has_the_same_hue_and_never_red() -> None:
    hues = {look.family_hue(f"family-{n}") for n in range(200)}
    assert hues == set(look.OTHER_HUES)
    assert look.family_hue("gpu") == look.family_hue("gpu")
    assert "red" not in hues


@pytest.mark.parametrize(
    ("type", "tone"),
    [("evaluation.failed", "bad"), ("alert.critical", "bad"), ("evaluation.retry", "warn"),
     ("alert.warning", "warn"), ("evaluation.completed", "good"), ("evaluation.started", "plain"),
     ("alert.acknowledged", "plain"), ("failed", "plain")],
)  # fmt: skip
def test_the_tone_of_a_type(type: str, tone: str) -> None:
    assert look.tone(type) == tone


@pytest.mark.parametrize("event_id", ["..", ".", "a/b", "a?b", "%2e", "0", ""])
def test_ids_that_are_not_uuids_are_linked_by_sequence(event_id: str) -> None:
    event = Event.create("vendor.thing", {}).evolve(id=event_id, sequence=7)
    assert event_href(event) == "/events/at/7"


def test_evaluations_whose_id_no_path_can_hold_are_linked_by_query() -> None:
    assert evaluation_href("eval-42") == "/evaluations/eval-42"
    for eval_id in ("..", "a/b", "a b", "é", "x" * 500, "by-id/"):
        assert evaluation_href(eval_id).startswith("/evaluations/by-id?eval_id=")


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0.0, "0"),
        (-1.0, "0"),
        (0.04, "<0.1"),
        (12.34, "12.3"),
        (99.96, "100"),
        (1240.2, "1\u202f240"),
    ],
)
def test_rates_are_short(per_s: float, text: str) -> None:
    assert rate(per_s) == text
