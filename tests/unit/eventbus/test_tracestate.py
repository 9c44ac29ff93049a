"""A tracestate: what counts as one, and that it goes with its traceparent from other processes."""

from __future__ import annotations

import pytest

from eventbus import Event
from eventbus.client.effects import RemoteEffects
from eventbus.scheduled import ScheduledEvent
from eventbus.validation import is_tracestate

TRACE, OWN = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
STATE = {"tracestate": "v=1"}


@pytest.mark.parametrize("text", [
    "vendor=1", "a=1,b=2", "a=1, b@c=d e ,,", "0-_*/=~", ",".join(f"v{n}=x" for n in range(32)),
])  # fmt: skip
def test_a_list_of_vendors_is_one(text: str) -> None:
    assert is_tracestate(text)


@pytest.mark.parametrize("text", [
    "", ",", "vendor", "Vendor=1", "a=", "a=b=c", "a=ö", "a=\x00", f"a={'1' * 257}",
    ",".join(f"v{n}=x" for n in range(33)), ",".join(f"v{n}={'x' * 250}" for n in range(5)),
])  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    assert not is_tracestate(text)


def test_what_a_remote_handler_publishes_inherits_the_whole_trace_or_nothing_of_it() -> None:
    cause = Event.create("first", traceparent=TRACE, extensions={**STATE, "partitionkey": "p"})
    effects = RemoteEffects(cause, "mine", owner=None)
    events = [
        effects.publish("a.b", {}),
        effects.publish("a.b", {}, traceparent=OWN),
        effects.add(Event.create("a.b", extensions={"shard": 3})),
        effects.add(Event.create("a.b", traceparent=OWN)),
        effects.add(ScheduledEvent.of(Event.create("a.b"), delay=5)),
    ]
    assert [(event.traceparent, event.extensions) for event in events] == [
        (TRACE, STATE), (OWN, {}), (TRACE, {"shard": 3, **STATE}), (OWN, {}), (TRACE, STATE),
    ]  # fmt: skip
    assert isinstance(events[-1], ScheduledEvent)
