"""Ids: unique, sorted by time, and the same again for what a redelivery publishes."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.ids import derived_id, new_id
from tests.helpers.events import attributes


def test_new_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    # The clock's resolution bounds the order: within one tick the random bits decide.
    assert [value[:13] for value in ids] == sorted(value[:13] for value in ids)
    assert {(uuid.UUID(value).version, uuid.UUID(value).variant) for value in ids} == {
        (7, uuid.RFC_4122)
    }


@given(attributes, attributes | st.uuids().map(str), attributes, st.integers(0, 1000))
def test_a_derived_id_is_stable_and_its_own(
    source: str, cause: str, subscription: str, index: int
) -> None:
    derived = derived_id(source, cause, subscription, index)
    assert derived == derived_id(source, cause, subscription, index)
    assert uuid.UUID(derived).version == 8
    others = {
        derived_id(source + "x", cause, subscription, index),
        derived_id(source, cause + "x", subscription, index),
        derived_id(source, cause, subscription + "x", index),
        derived_id(source, cause, subscription, index + 1),
    }
    assert len(others | {derived}) == 5


def test_a_derived_id_sorts_near_its_cause() -> None:
    cause = new_id()
    assert derived_id("/a", cause, "s", 0)[:13] == cause[:13]


def test_ids_stay_unique_and_in_order_while_the_clock_is_set_back_a_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [time.time_ns() + 10**9]
    monkeypatch.setattr("eventbus.ids.time.time_ns", lambda: clock[0])
    ids = []
    for step_ms in (0, 5, -30_000, 1, 2, -10_000, 60_000):
        clock[0] += step_ms * 1_000_000
        ids += [new_id() for _ in range(100)]
    assert len(set(ids)) == len(ids)
    assert [value[:18] for value in ids] == sorted(value[:18] for value in ids)


def test_ids_do_not_stay_in_a_future_that_was_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    clock = [now + 365 * 86_400 * 10**9]
    monkeypatch.setattr("eventbus.ids.time.time_ns", lambda: clock[0])
    new_id()
    clock[0] = now
    assert uuid.UUID(new_id()).int >> 80 == now // 1_000_000
    monkeypatch.setattr("eventbus.ids._newest_ns", 0)


def test_a_bus_with_a_name_makes_ids_of_its_own_and_one_without_those_it_always_made() -> None:
    cause = "0192aa00-0000-7000-8000-000000000000"
    assert derived_id("/s", cause, "make", 0) == "0192aa00-0000-8d99-9e21-bb2f92ca192f"
    ids = {derived_id("/s", cause, "make", 0, bus) for bus in ("", "one", "two")}
    assert len(ids) == 3
