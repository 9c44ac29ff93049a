"""The catalogue on a bus: what is refused, what is counted, what holds for a type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventbus import Event, EventBus
from eventbus.catalogue import Catalogue, Declaration, ModeRules
from eventbus.catalogue.reports import Reports
from eventbus.errors import (
    DeclarationError,
    EventValidationError,
    SchemaViolationError,
    UndeclaredTypeError,
)
from tests.helpers.bus import open_bus, recorded
from tests.helpers.waiting import wait_until

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["order_id", "total"],
    "properties": {
        "order_id": {"type": "string", "minLength": 3},
        "total": {"type": "number", "minimum": 0},
        "state": {"enum": ["new", "paid"]},
    },
    "additionalProperties": False,
}
GOOD = {"order_id": "o-17", "total": 12.5}


def declaration(type: str = "order.placed", **more: Any) -> Declaration:
    value = {"schema": ORDER, "example": GOOD, **more}
    return Declaration.read(value, type=type, origin="file", place="orders.json")


def errors_of(error: EventValidationError) -> dict[str, str]:
    return {each.pointer: each.detail for each in error.errors}


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    catalogue = Catalogue([declaration()])
    with open_bus(url, catalogue=catalogue) as bus:
        yield bus


def test_a_payload_that_breaks_its_schema_is_refused_field_by_field(bus: EventBus) -> None:
    with pytest.raises(SchemaViolationError) as raised:
        bus.publish("order.placed", {"total": -1, "state": "lost", "colour": "red"})
    assert errors_of(raised.value) == {
        "/data/order_id": "is required",
        "/data/total": "must be at least 0 (minimum), not -1",
        "/data/state": "must be one of 'new', 'paid', not 'lost'",
        "/data/colour": "is no field that is allowed here (additionalProperties)",
    }
    assert bus.log.last_sequence == 0
    tally = bus.catalogue.tally.of("order.placed")  # type: ignore[union-attr]
    assert (tally.refused, tally.reported) == (1, 0)
    bus.publish("order.placed", GOOD)
    bus.publish("order.unknown", {"anything": "goes"})
    assert recorded(bus) == ["order.placed", "order.unknown"]


def test_one_wrong_event_refuses_its_whole_batch(bus: EventBus) -> None:
    batch = [
        {"type": "order.placed", "data": GOOD},
        {"type": "order.placed", "data": {"order_id": "x"}},
    ]
    with pytest.raises(EventValidationError) as raised:
        bus.publish_many(batch)
    assert set(errors_of(raised.value)) == {"/1/data/order_id", "/1/data/total"}
    assert bus.log.last_sequence == 0


def test_what_is_scheduled_is_checked_when_it_is_taken(bus: EventBus) -> None:
    for later in ({"delay": 60}, {"at": "2030-01-01T00:00:00Z"}):
        with pytest.raises(EventValidationError) as raised:
            bus.publish("order.placed", {}, **later)  # type: ignore[arg-type]
        assert "/data/order_id" in errors_of(raised.value)
    assert bus.log.schedules.count() == 0


def test_a_handler_that_publishes_a_wrong_event_fails_visibly(bus: EventBus) -> None:
    def orders(event: Event) -> None:
        bus.publish("order.placed", {"order_id": "o-1"})

    bus.subscribe("cart.closed", orders, name="orders", max_attempts=2)
    bus.publish("cart.closed")
    wait_until(lambda: bus.log.delivery_counts().get("dead"), "its delivery is dead")
    (dead,) = bus.log.list_deliveries("dead").deliveries
    assert dead.error_class == "SchemaViolationError"
    assert "/data/total: is required" in (dead.error_message or "")
    assert recorded(bus) == ["cart.closed"]


def test_a_type_that_is_only_reported_is_recorded_and_counted(url: str) -> None:
    catalogue = Catalogue([declaration(mode="report")])
    with open_bus(url, catalogue=catalogue) as bus:
        bus.publish("order.placed", {"order_id": "o-1"})
        tally = catalogue.tally.of("order.placed")
        assert (tally.refused, tally.reported) == (0, 1)
        assert tally.last is not None and tally.last.errors[0].pointer == "/data/total"


def test_behind_the_log_the_same_is_counted(url: str) -> None:
    catalogue = Catalogue([declaration(mode="report")])
    with open_bus(url, catalogue=catalogue) as bus:
        reports = Reports(bus.log, catalogue)
        reports.start()
        try:
            for number in range(300):
                bus.publish("order.placed", GOOD if number % 3 else {"order_id": "o-1"})
            counted = lambda: catalogue.tally.of("order.placed").reported == 100  # noqa: E731
            wait_until(counted, "all are counted")
        finally:
            reports.close()
        last = catalogue.tally.of("order.placed").last
        assert last is not None and last.sequence == 298


def test_rules_say_more_than_declarations_and_the_first_one_holds(url: str) -> None:
    rules = ModeRules.parse("order.placed report; order.* off; # enforce")
    declared = [declaration(type) for type in ("order.placed", "order.paid", "other")]
    catalogue = Catalogue(declared, rules=rules)
    modes = [catalogue.find(type).mode for type in ("order.placed", "order.paid", "other")]
    assert modes == ["report", "off", "enforce"]
    for text in ("order.* strict", "ev* enforce", "order.*"):
        with pytest.raises(DeclarationError):
            ModeRules.parse(text)


def test_the_declaration_that_says_most_about_a_type_holds() -> None:
    declared = [declaration(type) for type in ("#", "order.*", "order.*.done", "order.placed")]
    catalogue = Catalogue(declared)
    found = {
        type: catalogue.find(type).declaration.type  # type: ignore[union-attr]
        for type in ("order.placed", "order.gone", "order.line.done", "else.where")
    }
    assert found == {
        "order.placed": "order.placed",
        "order.gone": "order.*",
        "order.line.done": "order.*.done",
        "else.where": "#",
    }


@pytest.mark.parametrize("unknown", ["allow", "warn", "refuse"])
def test_unknown_types_are_taken_unless_that_is_configured(
    url: str, unknown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refused = unknown == "refuse"
    catalogue = Catalogue([declaration()], unknown=unknown)
    with open_bus(url, catalogue=catalogue) as bus:
        if refused:
            with pytest.raises(UndeclaredTypeError, match="/type: nobody has declared 'cart"):
                bus.publish("cart.closed")
        else:
            bus.publish("cart.closed")
            bus.publish("cart.closed")
        assert bus.log.last_sequence == (0 if refused else 2)
    assert caplog.text.count("cart.closed") == (1 if unknown == "warn" else 0)


def test_a_declaration_is_durable_and_takes_effect_with_its_event(url: str) -> None:
    with open_bus(url, catalogue=Catalogue()) as bus:
        bus.publish("order.placed", {})
        value = {"title": "An order", "schema": ORDER, "example": GOOD}
        bus.catalogue.declare(Declaration.read(value, type="order.placed"), "ann")  # type: ignore[union-attr]
        with pytest.raises(SchemaViolationError):
            bus.publish("order.placed", {})
        (event,) = [each for each in bus.log.read(0).events if each.type == "bus.type.declared"]
        assert event.subject == "order.placed"
        assert event.data == {"type": "order.placed", "by": "ann", **value}
    with open_bus(url, catalogue=Catalogue()) as bus:
        with pytest.raises(SchemaViolationError):
            bus.publish("order.placed", {})
        assert bus.catalogue.get("order.placed").place == "ann"  # type: ignore[union-attr]
        assert bus.catalogue.withdraw("order.placed", "bob") is not None  # type: ignore[union-attr]
        assert bus.catalogue.withdraw("order.placed", "bob") is None  # type: ignore[union-attr]
        bus.publish("order.placed", {})
        assert recorded(bus)[-2:] == ["bus.type.withdrawn", "order.placed"]


def test_what_a_file_declares_is_read_only_and_holds(url: str) -> None:
    with open_bus(url, catalogue=Catalogue()) as bus:
        bus.catalogue.declare(Declaration.read({"title": "by the API"}, type="order.placed"), "ann")  # type: ignore[union-attr]
    with open_bus(url, catalogue=Catalogue([declaration()])) as bus:
        assert bus.catalogue.get("order.placed").origin == "file"  # type: ignore[union-attr]
        with pytest.raises(DeclarationError, match=r"declared in the file orders\.json"):
            bus.catalogue.declare(Declaration.read({}, type="order.placed"), "ann")  # type: ignore[union-attr]
        with pytest.raises(DeclarationError):
            bus.catalogue.withdraw("order.placed", "ann")  # type: ignore[union-attr]
