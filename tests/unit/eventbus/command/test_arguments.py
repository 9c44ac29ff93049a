"""Times, payloads and tables: what people write and read on a command line."""

from __future__ import annotations

import io
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

import pytest

from eventbus.command.errors import UsageError
from eventbus.command.moments import duration, moment, span_s
from eventbus.command.publish import payload
from eventbus.command.screen import Screen
from eventbus.command.table import columns, cut, table_lines
from eventbus.command.upload import batches
from eventbus.timestamps import parse_time


def test_durations_have_units() -> None:
    given = ("90", "1.5s", "15m", "2h", "7d", "1w", "250ms")
    assert [span_s(text) for text in given] == [90, 1.5, 900, 7200, 604_800, 604_800, 0.25]
    for text in ("", "-1", "1y", "m", "1e3", "9999999d"):
        with pytest.raises(ArgumentTypeError):
            span_s(text)


def test_a_moment_is_an_age_a_time_or_a_local_date() -> None:
    now = datetime.now(UTC)
    assert now - parse_time(moment("1h")) - timedelta(hours=1) < timedelta(seconds=5)
    assert moment("2026-11-24T08:00:00+02:00") == "2026-11-24T06:00:00.000000Z"
    local = datetime(2026, 11, 24, 8).astimezone(UTC)
    assert parse_time(moment("2026-11-24T08:00")) == local
    assert parse_time(moment("08:00")).astimezone().strftime("%H:%M") == "08:00"
    for text in ("", "yesterday", "2026-13-01", "25:00", "0001-01-01"):
        with pytest.raises(ArgumentTypeError):
            print(moment(text))


def test_durations_are_told_in_the_units_that_matter() -> None:
    told = [duration(s) for s in (0.34, 12.34, 65, 3_700, 90_000)]
    assert told == ["340 ms", "12.3 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]


def test_members_that_are_not_json_are_text() -> None:
    assert payload(["a=1", "b=x y", "c=Infinity", 'd="1"', "e="]) == {
        "a": 1, "b": "x y", "c": "Infinity", "d": "1", "e": "",
    }  # fmt: skip
    for parts in (["x"], ["=1"], ["a=1", '{"b": 1}'], ["[1]"], ["@/nowhere/at/all"]):
        with pytest.raises(UsageError):
            payload(parts)


def test_wide_characters_take_two_columns() -> None:
    assert columns("ab漢字") == 6 and columns("e\u0301") == 1
    assert cut("漢字漢字", 5) == "漢字…" and cut("abc", 3) == "abc" and cut("abc", 0) == ""


@pytest.mark.parametrize("width", [20, 33, 60, 200, None])
def test_a_table_is_never_wider_than_the_terminal(width: int | None) -> None:
    screen = Screen(io.StringIO(), io.StringIO(), "never")
    rows = [["a" * 30, "漢" * 20, "1"], ["b", "\x1b[2J", "x" * 300]]
    lines = table_lines(screen, ("first", "second", "last"), rows, right=(1,), width=width)
    assert len(lines) == 3 and all(line.isprintable() for line in lines)
    assert width is None or all(columns(line) <= width for line in lines)


def test_batches_keep_line_numbers_and_give_ids_that_stay() -> None:
    lines = [b'{"type":"a.b"}\n', b"\n", b"nonsense\n", b'{"type":"a.b","id":"mine"}\r\n', b"[]"]
    first = list(batches(lines, "digest", 2))
    assert [(batch.first_line, batch.count) for batch in first] == [(1, 2), (3, 2), (5, 1)]
    assert first[-1].end == sum(len(line) for line in lines)
    assert [b.body for b in first] == [b.body for b in batches(lines, "digest", 2)]
    assert first[0].body != next(iter(batches(lines, "another", 2))).body
    assert b"\n".join(b.body for b in first).split(b"\n")[2:] == [
        b"nonsense", b'{"type":"a.b","id":"mine"}', b"[]",
    ]  # fmt: skip
    (rest,) = batches(lines, "digest", 10, first_line=4)
    assert (rest.first_line, rest.count) == (4, 2)
