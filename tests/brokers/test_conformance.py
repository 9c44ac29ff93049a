"""What every adapter must do, on every adapter.

The scenarios are at least those of Watermill's universal suite (ThreeDotsLabs/watermill,
pubsub/tests), in the words of our ``Link``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from eventbus import Event
from eventbus.brokers import Link
from eventbus.errors import BrokerAwayError
from tests.brokers.stages import Stage, make_event, numbers, receive, run


async def publish(stage: Stage, events: list[Event]) -> None:
    link = await stage.broker(take=()).connect()
    assert await link.publish(events) == {}
    await link.close()


async def bind(stage: Stage, *queues: str, take: tuple[str, ...] = ("#",)) -> None:
    """Make the queues, so that they get what is published from now on."""
    for queue in queues or ("q",):
        await (await stage.broker(queue, take).connect()).close()


def test_what_is_published_is_received(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        events = [make_event(n) for n in range(100)]
        await publish(stage, events)
        link = await stage.broker().connect()
        received = await receive(link, 100)
        assert set(received) == set(events)
        assert {e.id: e.data for e in received} == {e.id: e.data for e in events}
        await link.close()

    run(scenario())


def test_a_subscriber_that_waits_is_woken(stage: Stage) -> None:
    async def scenario() -> None:
        link = await stage.broker().connect()
        waiting = asyncio.create_task(receive(link, 1))
        await publish(stage, [make_event(1)])
        assert numbers(await waiting) == [1]
        await link.close()

    run(scenario())


def test_events_of_a_subject_come_in_the_order_of_publishing(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        for start in range(0, 600, 200):
            await publish(stage, [make_event(n) for n in range(start, start + 200)])
        link = await stage.broker().connect()
        by_subject = defaultdict(list)
        for event in await receive(link, 600):
            by_subject[event.subject].append(event["n"])
        assert len(by_subject) == 10
        assert all(seen == sorted(seen) for seen in by_subject.values())
        await link.close()

    run(scenario())


def test_subscribers_of_one_queue_share_what_comes(stage: Stage) -> None:
    async def scenario() -> None:
        links = [await stage.broker().connect() for _ in range(3)]
        seen: list[int] = []

        async def read(link: Link) -> None:
            while len(set(seen)) < 300:
                seen.extend(numbers(await receive(link, 1)))

        reading = [asyncio.create_task(read(link)) for link in links]
        for start in range(0, 300, 50):
            await publish(stage, [make_event(n) for n in range(start, start + 50)])
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        for task in reading:
            task.cancel()
        assert sorted(set(seen)) == list(range(300))
        for link in links:
            await link.close()

    run(scenario())


def test_every_group_gets_everything(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage, "first", "second")
        await publish(stage, [make_event(n) for n in range(50)])
        for queue in ("first", "second"):
            link = await stage.broker(queue).connect()
            assert sorted(numbers(await receive(link, 50))) == list(range(50))
            await link.close()

    run(scenario())


def test_what_is_given_back_comes_again(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(20)])
        link = await stage.broker().connect()
        for _ in range(2):
            await link.give_back(await link.receive())
        received: list[Event] = []
        while len(numbers(received)) < 20:
            received += await receive(link, 1)
        assert sorted(numbers(received)) == list(range(20))
        await link.close()

    run(scenario())


def test_what_is_not_acknowledged_comes_again_to_the_next(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(30)])
        first = await stage.broker().connect()
        received = await receive(first, 30, acknowledge=False)
        assert len(received) == 30
        await first.close()
        second = await stage.broker().connect()
        assert sorted(numbers(await receive(second, 30))) == list(range(30))
        await second.close()

    run(scenario())


def test_what_is_acknowledged_does_not_come_again(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(30)])
        first = await stage.broker().connect()
        await receive(first, 30)
        await first.close()
        await publish(stage, [make_event(30)])
        second = await stage.broker().connect()
        assert numbers(await receive(second, 1)) == [30]
        await second.close()

    run(scenario())


def test_no_more_is_handed_out_than_the_bound_without_acknowledgement(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(500)])
        link = await stage.broker().connect()
        held = await receive(link, 1, acknowledge=False)
        held += await receive(link, 0, acknowledge=False, quiet_s=1.0)
        assert len(held) <= 200
        await link.close()

    run(scenario())


def test_subscribers_that_come_and_go_miss_nothing(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(250)])
        seen: set[int] = set()
        for _ in range(20):
            link = await stage.broker().connect()
            messages = await link.receive()
            part = messages[: max(1, len(messages) // 2)]
            seen |= {message_number(message) for message in part}
            await link.acknowledge(part)
            await link.close()
            if len(seen) == 250:
                return
        link = await stage.broker().connect()
        while len(seen) < 250:
            seen |= set(numbers(await receive(link, 1)))
        await link.close()

    run(scenario())


def test_links_that_close_at_the_same_time_lose_nothing(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)

        async def come_and_go() -> None:
            link = await stage.broker().connect()
            await link.close()
            await link.close()  # a second time does nothing

        await asyncio.gather(*(come_and_go() for _ in range(6)))
        await publish(stage, [make_event(n) for n in range(50)])
        link = await stage.broker().connect()
        assert sorted(numbers(await receive(link, 50))) == list(range(50))
        await link.close()

    run(scenario())


def test_a_subscriber_that_fails_at_first_gets_all_in_the_end(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [make_event(n) for n in range(40)])
        failures = 0
        done: set[int] = set()
        link = await stage.broker().connect()
        while len(done) < 40:
            messages = await link.receive()
            if failures < 4:
                failures += 1
                await link.give_back(messages)
                continue
            done |= {message_number(message) for message in messages}
            await link.acknowledge(messages)
        await link.close()

    run(scenario())


def test_closing_right_after_publishing_loses_nothing(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        link = await stage.broker(take=()).connect()
        await link.publish([make_event(n) for n in range(1_000)])
        await link.close()
        reader = await stage.broker().connect()
        assert sorted(numbers(await receive(reader, 1_000))) == list(range(1_000))
        await reader.close()

    run(scenario())


def test_types_are_kept_apart_by_patterns(stage: Stage) -> None:
    patterns = {
        "trailing": ("queue.*",), "one": ("queue.+.added",), "middle": ("*.task.added",),
        "any": ("#.added",), "literal": ("queue.task.added",), "two": ("queue.task.+", "x.*"),
    }  # fmt: skip
    types = ["queue", "queue.task", "queue.task.added", "store.task.added", "added", "x.y.z"]

    async def scenario() -> None:
        from eventbus import Pattern

        for queue, take in patterns.items():
            await bind(stage, queue, take=take)
        await publish(stage, [make_event(n, type) for n, type in enumerate(types)])
        for queue, take in patterns.items():
            wanted = [
                n for n, type in enumerate(types) if any(Pattern(t).matches(type) for t in take)
            ]
            link = await stage.broker(queue, take).connect()
            received = [
                event
                for event in await receive(link, len(wanted))
                if any(Pattern(t).matches(event.type) for t in take)
            ]
            while len(received) < len(wanted):  # an adapter may leave the rest to who receives
                received += [
                    event
                    for event in await receive(link, 1)
                    if any(Pattern(t).matches(event.type) for t in take)
                ]
            assert sorted(numbers(received)) == wanted, queue
            await link.close()

    run(scenario())


def test_every_attribute_comes_through(stage: Stage) -> None:
    event = Event.create(
        "test.made.of-parts_2", {"text": "åß∂ 🙂", "list": [1, 2.5, None], "n": 1},
        id="id with spaces, ü and 🙂" * 20, source="/töst?x=1&y", subject="sübject/ö",
        time="2026-11-24T09:30:00.123456Z", dataschema="https://example.com/schema#1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        correlationid="cörr", causationid="caüse", depth=7,
        extensions={"tracestate": "vendor=1,ö=2", "empty": ""},
    )  # fmt: skip

    async def scenario() -> None:
        await bind(stage)
        await publish(stage, [event])
        link = await stage.broker().connect()
        (received,) = await receive(link, 1)
        for name in (
            "id", "source", "type", "subject", "time", "dataschema", "traceparent",
            "correlationid", "causationid", "depth", "data", "extensions",
        ):  # fmt: skip
            assert getattr(received, name) == getattr(event, name), name
        await link.close()

    run(scenario())


def test_large_events_come_through(stage: Stage) -> None:
    async def scenario() -> None:
        await bind(stage)
        large = [make_event(n, data={"text": "ä" * 250_000}, max_bytes=1_000_000) for n in range(5)]
        await publish(stage, large)
        link = await stage.broker().connect()
        received = await receive(link, 5)
        assert {len(event["text"]) for event in received} == {250_000}
        await link.close()

    run(scenario())


def test_waiting_for_messages_can_be_cancelled(stage: Stage) -> None:
    async def scenario() -> None:
        link = await stage.broker().connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await link.receive()
        await publish(stage, [make_event(1)])
        assert numbers(await receive(link, 1)) == [1]
        await link.close()

    run(scenario())


def test_a_closed_link_says_that_the_broker_is_away(stage: Stage) -> None:
    async def scenario() -> None:
        link: Link = await stage.broker().connect()
        reading = asyncio.create_task(link.receive())
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(BrokerAwayError):
            await reading
        with pytest.raises(BrokerAwayError):
            await link.publish([make_event(1)])
        with pytest.raises(BrokerAwayError):
            await link.receive()

    run(scenario())


def test_nothing_is_received_where_nothing_is_asked_for(stage: Stage) -> None:
    async def scenario() -> None:
        link = await stage.broker(take=()).connect()
        await publish(stage, [make_event(1)])
        assert await receive(link, 0, quiet_s=0.5) == []
        await link.close()

    run(scenario())


def message_number(message: object) -> int:
    from tests.brokers.stages import event_of

    return int(event_of(message)["n"])  # type: ignore[arg-type]
