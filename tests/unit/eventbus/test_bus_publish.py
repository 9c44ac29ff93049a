"""Publishing: from threads, coroutines and lambdas; receipts; batches; what is refused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventbus import Event, EventBus, Pattern, RetryPolicy
from eventbus.errors import (
    BusClosedError,
    EffectError,
    EventValidationError,
    LogWriteError,
    ReceiptTimeoutError,
)
from eventbus.log.unit import Unit
from tests.helpers.bus import LONG_S, Failing, Recorder, open_bus
from tests.helpers.disks import fill_up


def test_publishing_in_a_thread_returns_when_the_event_is_durable(bus: EventBus) -> None:
    receipt = bus.publish("queue.task.added", {"queue": "q"}, subject="t-1")
    assert receipt.is_recorded
    assert receipt.event.sequence == 1
    assert receipt.wait(0) == receipt.event
    assert not receipt.duplicate
    found = bus.log.get(receipt.event.id)
    assert found is not None
    assert found.to_dict() == receipt.event.to_dict()


def test_a_coroutine_awaits_its_receipt(bus: EventBus) -> None:
    async def publish() -> Event:
        receipt = bus.publish("a.b", {"n": 1})
        event = await receipt
        assert receipt.is_recorded
        assert await receipt is event  # as often as one likes
        assert receipt.wait(0) is event
        return event

    assert asyncio.run(publish()).sequence == 1


def test_many_coroutines_publish_at_once(bus: EventBus) -> None:
    async def publish() -> list[Event]:
        return await asyncio.gather(*(one(n) for n in range(100)))

    async def one(n: int) -> Event:
        return await bus.publish("a.b", {"n": n})

    events = asyncio.run(publish())
    assert sorted(e.sequence or 0 for e in events) == list(range(1, 101))


def test_what_nobody_waits_for_is_recorded_all_the_same(url: str) -> None:
    async def fire_and_forget(bus: EventBus) -> None:
        for number in range(50):
            bus.publish("a.b", {"n": number})

    with open_bus(url) as bus:
        asyncio.run(fire_and_forget(bus))
    with open_bus(url) as bus:
        assert [e["n"] for e in bus.log.read(0).events] == list(range(50))


def test_a_lambda_publishes_like_anything_else(bus: EventBus) -> None:
    publish = lambda n: bus.publish("a.b", {"n": n})  # noqa: E731
    assert publish(1).wait().sequence == 1

    async def call() -> Event:
        return await publish(2)

    assert asyncio.run(call()).sequence == 2


def test_an_event_loop_is_not_blocked_by_a_commit_that_hangs(bus: EventBus) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hang(conn: object) -> None:
        entered.set()
        assert go_on.wait(LONG_S)

    async def publish() -> int:
        receipt = bus.publish("a.b")
        await asyncio.sleep(0)  # the loop still turns
        assert not receipt.is_recorded
        with pytest.raises(ReceiptTimeoutError):
            receipt.wait(0.01)
        go_on.set()
        return (await receipt).sequence or 0

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(bus.log.commit, Unit(call=hang))
        assert entered.wait(LONG_S)
        assert asyncio.run(publish()) == 1
        hanging.result(LONG_S)


def test_the_same_source_and_id_again_give_the_first_event(bus: EventBus) -> None:
    first = bus.publish("a.b", {"n": 1}, id="1", source="/s")
    again = bus.publish("c.d", {"n": 2}, id="1", source="/s")
    assert again.duplicate
    assert again.event.to_dict() == first.event.to_dict()
    assert not bus.publish("a.b", id="1", source="/other").duplicate
    assert bus.log.last_sequence == 2


def test_a_duplicate_is_not_delivered_again(bus: EventBus) -> None:
    handler = Recorder()
    bus.subscribe("a", handler, name="handler")
    for _ in range(3):
        bus.publish("a", id="1")
    bus.publish("a", id="2")
    assert bus.drain(LONG_S)
    assert [event.id for event in handler.events] == ["1", "2"]


def test_the_source_defaults_to_that_of_the_bus(url: str) -> None:
    with open_bus(url, source="/mine") as bus:
        assert bus.publish("a").event.source == "/mine"
        assert bus.publish("a", source="/own").event.source == "/own"
        assert bus.publish_many([{"type": "a"}]).events[0].source == "/mine"


def test_attributes_are_kept(bus: EventBus) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    attributes = {"subject": "s", "time": "2026-11-24T09:30:00.000000Z", "dataschema": "urn:x",
                  "correlationid": "c", "causationid": "d",
                  "traceparent": trace}  # fmt: skip
    extensions = {"tracestate": "x=1", "shard": 3, "isfinal": False}
    event = bus.publish("a.b", None, extensions=extensions, **attributes).event  # type: ignore[arg-type]
    assert event.to_dict().items() >= {**attributes, **extensions}.items()
    (read,) = bus.log.read(0).events
    assert read.to_dict() == event.to_dict()


@pytest.mark.parametrize(
    ("extensions", "pointer", "rule"),
    [({"Shard": 1}, "/Shard", "lower-case letters and digits"),
     ({"trace_state": "x"}, "/trace_state", "lower-case letters and digits"),
     ({"subject": "x"}, "/subject", "another meaning"),
     ({"delay": 3}, "/delay", "another meaning"),
     ({"a": 1.5}, "/a", "must be text, a whole number, true or false, not 1.5"),
     ({"a": 2**31}, "/a", "32 bits"),
     ({"a": ["x"]}, "/a", "must be text"),
     ({"a": "\n"}, "/a", "control characters"),
     ({"a": "x" * 1025}, "/a", "at most 1024 characters"),
     ({"a" * 65: 1}, "/" + "a" * 64, "at most 64 characters"),
     ({f"a{n}": n for n in range(33)}, "/a32", "one more than the 32"),
     ([1], "/extensions", "must be an object")],
)  # fmt: skip
def test_an_extension_that_cloudevents_do_not_allow_is_named(
    bus: EventBus, extensions: object, pointer: str, rule: str
) -> None:
    with pytest.raises(EventValidationError) as wrong:
        bus.publish("a.b", extensions=extensions)  # type: ignore[arg-type]
    (error,) = wrong.value.errors
    assert error.pointer == pointer and rule in error.detail
    assert bus.log.last_sequence == 0


@pytest.mark.parametrize(
    ("type", "data"),
    [("a.*", {}), ("", {}), ("a" * 300, {}), ("a", []), ("a", {"x": float("nan")}),
     ("a", {"x": "\x00"}), ("a", {"x": "y" * 300_000})],
)  # fmt: skip
def test_a_bad_event_is_refused_at_once_and_not_recorded(
    bus: EventBus, type: str, data: dict[str, object]
) -> None:
    with pytest.raises(EventValidationError):
        bus.publish(type, data)
    assert bus.log.last_sequence == 0


@pytest.mark.parametrize("name", ["id", "source", "subject", "correlationid"])
def test_an_empty_attribute_is_refused_not_replaced(bus: EventBus, name: str) -> None:
    with pytest.raises(EventValidationError, match=f"/{name}: must not be empty"):
        bus.publish("a", **{name: ""})  # type: ignore[arg-type]


def test_the_payload_limit_is_the_buss_own(url: str) -> None:
    with open_bus(url, max_event_bytes=20) as bus:
        bus.publish("a", {"x": "y" * 12})
        with pytest.raises(EventValidationError, match="at most 20 bytes"):
            bus.publish("a", {"x": "y" * 13})
        with pytest.raises(EventValidationError, match="/1/data: must be at most 20 bytes"):
            bus.publish_many([{"type": "a"}, {"type": "a", "data": {"x": "y" * 13}}])


def test_a_batch_is_recorded_together_and_in_order(bus: EventBus) -> None:
    receipt = bus.publish_many(
        [{"type": "a", "id": "1"}, Event.create("b", id="2"), {"type": "a", "id": "1"}]
    )
    assert [event.sequence for event in receipt.wait(0)] == [1, 2, 1]
    assert receipt.duplicates == [False, False, True]
    assert asyncio.run(wait_for(bus)) == [3, 4]
    assert bus.publish_many([]).wait(0) == []


async def wait_for(bus: EventBus) -> list[int | None]:
    return [event.sequence for event in await bus.publish_many([{"type": "a"}, {"type": "b"}])]


def test_a_batch_with_one_bad_event_records_none_and_names_its_index(bus: EventBus) -> None:
    good, bad = {"type": "a"}, {"type": "a", "data": {"x": float("inf")}}
    with pytest.raises(EventValidationError) as caught:
        bus.publish_many([good, bad, good, 7])  # type: ignore[list-item]
    assert [error.pointer for error in caught.value.errors] == ["/1/data/x", "/3"]
    assert bus.log.last_sequence == 0


def test_a_made_event_is_published_as_it_is(bus: EventBus) -> None:
    event = Event.create("a.b", {"n": 1}, id="mine", source="/s")
    assert bus.publish_event(event).event.to_dict() == {**event.to_dict(), "sequence": 1}
    assert bus.publish_event(event).duplicate
    assert event.sequence is None


def test_events_of_threads_are_all_there(bus: EventBus) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: bus.publish("a.b", {"n": n}), range(200)))
    events = bus.log.read(0).events
    assert sorted(e["n"] for e in events) == list(range(200))
    assert [e.sequence for e in events] == list(range(1, 201))


def test_a_receipt_waits_for_the_deliveries(bus: EventBus) -> None:
    go_on = threading.Event()
    bus.subscribe("a", lambda event: go_on.wait(LONG_S), name="slow")
    bus.subscribe("a", Recorder(), name="quick")
    bus.subscribe("b", Recorder(), name="other")
    receipt = bus.publish("a")
    with pytest.raises(ReceiptTimeoutError, match="but not yet settled: .*slow is pending"):
        receipt.deliveries(0.05)
    go_on.set()
    deliveries = receipt.deliveries(LONG_S)
    assert [(d.subscription, d.state) for d in deliveries] == [
        ("quick", "succeeded"), ("slow", "succeeded"),
    ]  # fmt: skip


def test_a_receipt_waits_through_the_retries(bus: EventBus) -> None:
    bus.subscribe("a", Failing(times=2), name="flaky")
    bus.subscribe("a", Failing(), name="broken", max_attempts=2)
    deliveries = bus.publish("a").deliveries(LONG_S)
    assert [(d.subscription, d.state, d.attempt) for d in deliveries] == [
        ("broken", "dead", 2), ("flaky", "succeeded", 3),
    ]  # fmt: skip


def test_a_receipt_waits_for_the_first_attempts_alone_when_asked(url: str) -> None:
    with open_bus(url, retry=RetryPolicy(base_delay_s=3600, max_delay_s=3600)) as bus:
        bus.subscribe("a", Failing(), name="flaky")
        receipt = bus.publish("a")
        (delivery,) = receipt.deliveries(LONG_S, until="attempted")
        assert (delivery.state, delivery.attempt) == ("retrying", 1)
        with pytest.raises(ReceiptTimeoutError, match="not yet settled: flaky is retrying"):
            receipt.deliveries(0.01)
        with pytest.raises(ValueError, match="until must be one of .* not 'done'"):
            receipt.deliveries(until="done")  # type: ignore[arg-type]


def test_a_receipt_does_not_wait_for_a_subscription_that_nothing_serves(url: str) -> None:
    with open_bus(url) as bus:
        bus.subscribe("a", Recorder(), name="away")
    with open_bus(url) as bus:
        (delivery,) = bus.publish("a").deliveries(LONG_S)
        assert (delivery.subscription, delivery.state) == ("away", "pending")


def test_the_deliveries_of_a_batch_are_waited_for_together(bus: EventBus) -> None:
    bus.subscribe("#", Recorder(), name="all")
    deliveries = bus.publish_many([{"type": "a"}, {"type": "b"}]).deliveries(LONG_S)
    assert [(d.sequence, d.event_type, d.state) for d in deliveries] == [
        (1, "a", "succeeded"), (2, "b", "succeeded"),
    ]  # fmt: skip


def test_a_handler_cannot_wait_for_the_deliveries_of_its_own_events(bus: EventBus) -> None:
    bus.subscribe("a", lambda event: bus.publish("b").deliveries(1), name="mine", max_attempts=1)
    (delivery,) = bus.publish("a").deliveries(LONG_S)
    assert (delivery.state, delivery.error_class) == ("dead", "EffectError")
    assert "recorded when the handler returns" in (delivery.error_message or "")


def test_a_state_change_needs_a_handler(bus: EventBus) -> None:
    with pytest.raises(EffectError, match="while handling an event"):
        bus.effect(lambda conn, params: None, {})


def test_a_full_disk_refuses_the_publisher(bus: EventBus) -> None:
    fill_up(bus)
    data = {"text": "x" * 200_000}
    with pytest.raises(LogWriteError, match="nothing was recorded"):
        bus.publish("a", data)

    async def publish() -> None:
        receipt = bus.publish("a", data)
        with pytest.raises(LogWriteError):
            await receipt
        with pytest.raises(LogWriteError):
            receipt.wait(0)
        assert not receipt.is_recorded

    asyncio.run(publish())
    assert bus.log.last_sequence == 0
    assert bus.log.read(0, pattern=Pattern("a")).events == []


def test_a_closed_bus_says_so(url: str) -> None:
    bus = open_bus(url)
    bus.close()
    bus.close()  # again does no harm
    for call in (
        lambda: bus.publish("a"),
        lambda: bus.publish_many([{"type": "a"}]),
        lambda: bus.subscribe("a", Recorder(), name="late"),
        lambda: bus.drain(1),
    ):
        with pytest.raises(BusClosedError, match="closed"):
            call()
