"""Recorded events: written to a file and published again, with ids and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventbus import Event
from eventbus.errors import EventValidationError
from eventbus.testing import ObservedBus, record_ndjson, replay_ndjson


def subscribe(bus: ObservedBus) -> None:
    @bus.on("order.placed", name="shop")
    async def placed(event: Event) -> None:
        await bus.publish("order.confirmed", {"order": event["order"]})


def record(path: Path, count: int = 3) -> list[Event]:
    with ObservedBus.temporary() as bus:
        subscribe(bus)
        for order in range(count):
            bus.publish("order.placed", {"order": order, "text": "ü\n\u2028"}, source="/shop")
            bus.clock.advance(60)
        assert record_ndjson(bus, path) == 2 * count
        return bus.events()


def test_a_replay_has_the_same_events_and_what_handlers_make_of_them_is_there_once(
    tmp_path: Path, event_bus: ObservedBus
) -> None:
    original = record(tmp_path / "events.ndjson")
    subscribe(event_bus)
    replay_ndjson(event_bus, tmp_path / "events.ndjson")
    event_bus.settle()
    again = event_bus.events()
    assert again == original
    assert [event.time for event in again] == [event.time for event in original]
    assert [event.to_dict() for event in again] == [event.to_dict() for event in original]


def test_only_the_first_events_let_the_handlers_make_the_others(
    tmp_path: Path, event_bus: ObservedBus
) -> None:
    original = record(tmp_path / "events.ndjson")
    subscribe(event_bus)
    replayed = replay_ndjson(event_bus, tmp_path / "events.ndjson", only_first=True)
    assert [event.type for event in replayed] == ["order.placed"] * 3
    event_bus.published("order.confirmed", times=3)
    assert set(event_bus.events()) == set(original), "their ids are derived, so they are the same"


def test_files_may_be_written_and_replayed_in_part(tmp_path: Path, event_bus: ObservedBus) -> None:
    record(tmp_path / "events.ndjson", count=700)
    assert len(replay_ndjson(event_bus, tmp_path / "events.ndjson", "order.placed")) == 700
    assert record_ndjson(event_bus, tmp_path / "some.ndjson", "order.confirmed") == 0
    assert record_ndjson(event_bus, tmp_path / "some.ndjson", "order.*") == 700
    assert len(replay_ndjson(event_bus, tmp_path / "some.ndjson")) == 700
    assert len(event_bus.events()) == 700, "each id once"


def test_a_wrong_line_is_named_and_nothing_is_published(
    tmp_path: Path, event_bus: ObservedBus
) -> None:
    path = tmp_path / "events.ndjson"
    good = json.dumps({"type": "a"})
    twice = '{"type": "a", "type": "b"}'
    text = f'{good}\n\n{{"type": "a..b"}}\nno json\n{twice}\n'
    path.write_bytes(text.encode() + b'{"type": "caf\xe9"}\n')
    with pytest.raises(EventValidationError) as wrong:
        replay_ndjson(event_bus, path)
    assert [error.pointer for error in wrong.value.errors] == [
        "/line 3/type", "/line 4", "/line 5", "/line 6",
    ]  # fmt: skip
    assert "0xe9" in str(wrong.value)
    assert event_bus.events() == []
