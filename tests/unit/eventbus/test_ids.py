"""Ids: unique, sorted by time, and the same again for what a redelivery publishes."""

from __future__ import annotations

import uuid

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
