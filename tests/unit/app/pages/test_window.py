"""The window of time that a page's figures are of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.pages.window import Window, WindowError


def test_a_named_window_ends_now_and_is_asked_for_by_its_name() -> None:
    window = Window.read({"window": "5m"})
    assert window.until - window.since == timedelta(minutes=5)
    assert abs(datetime.now(UTC) - window.until) < timedelta(seconds=5)
    assert window.query == {"window": "5m"}


def test_an_age_alone_is_the_window_of_that_name() -> None:
    assert Window.read({"since": "5m"}).query == {"window": "5m"}
    with pytest.raises(WindowError) as error:
        Window.read({"since": "999999d"})
    assert error.value.field == "since"


def test_without_any_it_is_the_last_hour() -> None:
    window = Window.read({})
    assert (window.name, window.until - window.since) == ("1h", timedelta(hours=1))


def test_two_moments_are_a_window_and_come_back_in_the_link() -> None:
    window = Window.read({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T02:00"})
    assert window.until - window.since == timedelta(hours=2)
    assert Window.read(window.query) == window


def test_the_end_is_never_in_the_future() -> None:
    window = Window.read({"since": "1h", "until": "2999-01-01T00:00:00Z"})
    assert window.until <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"window": "soon"}, "window"),
        ({"window": "0m"}, "window"),
        ({"window": "999999d"}, "window"),
        ({"since": "tomorrow"}, "since"),
        ({"since": "1h", "until": "x"}, "until"),
        ({"since": "100d"}, "since"),
        ({"since": "1h", "until": "2h"}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "until"),
        ({"since": "0001-01-01", "until": "0001-01-03"}, "since"),
    ],
)
def test_what_is_no_window_is_said_with_its_field(given: dict[str, str], field: str) -> None:
    with pytest.raises(WindowError) as raised:
        Window.read(given)
    assert raised.value.field == field
