"""Events for property tests, and what a refused one must look like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import strategies as st

from eventbus.errors import EventValidationError
from eventbus.event import Event
from eventbus.extensions import RESERVED

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
payloads = st.dictionaries(text, json_values, max_size=5)
attributes = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30
).filter(lambda value: not value.isspace())  # fmt: skip
types = st.from_regex(r"[A-Za-z0-9_-]{1,9}(\.[A-Za-z0-9_-]{1,9}){0,5}", fullmatch=True)
times = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))]),
)  # fmt: skip
extensions = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name not in RESERVED),
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | attributes | st.just(""),
    max_size=3,
)  # fmt: skip
traceparents = st.sampled_from([None, TRACEPARENT])
events = st.builds(
    Event.create, types, payloads, id=attributes, source=attributes, subject=attributes, time=times,
    dataschema=st.none() | attributes, traceparent=traceparents,
    correlationid=st.none() | attributes, causationid=st.none() | attributes,
    extensions=st.none() | extensions,
)  # fmt: skip


def errors_of(make: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
    """The errors of a refused event, pointer to detail; each must be fit to be printed."""
    with pytest.raises(EventValidationError) as caught:
        make(*args, **kwargs)
    for error in caught.value.errors:
        assert error.pointer.isprintable()
        assert error.detail.isprintable()
        assert len(error.detail) < 500
    return {error.pointer: error.detail for error in caught.value.errors}
