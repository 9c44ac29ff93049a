"""What EventBus and RemoteEventBus promise alike: the same tests against both."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus import Event
from eventbus.errors import EffectError, EventValidationError, RejectError, SubscriptionError
from tests.helpers.bus import LONG_S, Failing, Recorder
from tests.helpers.server import ServerProcess
from tests.helpers.setups import Local, Remote, Setup
from tests.helpers.waiting import wait_until

_numbers = itertools.count()


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("server"),
        EVENTBUS_BACKOFF_FIRST_S="0.01",
        EVENTBUS_BACKOFF_MAX_S="0.02",
    ) as server:
        yield server


@pytest.fixture(params=["local", "remote"])
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setup]:
    made: Any
    if request.param == "local":
        made = Local(tmp_path / "events.db")
    else:
        made = Remote(request.getfixturevalue("quick_server"))
    yield made
    made.bus.close()


@pytest.fixture
def family() -> str:
    """The first segment of the types of one test, which has the server for itself by it."""
    return f"family{next(_numbers)}"


def settled(setup: Setup, event: Event, name: str, *states: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        delivery = setup.deliveries(event).get(name)
        return delivery if delivery and delivery["state"] in states else None

    return wait_until(found, f"{name} has {states}") or {}


def is_late_and_then_good(outcomes: list[str]) -> bool:
    """Also what would take no time may be late on a machine that has none."""
    return len(outcomes) > 1 and {*outcomes[:-1]} == {"timeout"} and outcomes[-1] == "succeeded"


def test_wildcards_choose_what_sync_and_async_handlers_get(setup, family) -> None:
    below, one, exact = Recorder(), Recorder(), Recorder()

    async def async_handler(event: Event) -> None:
        await asyncio.sleep(0)
        one(event)

    setup.bus.subscribe(f"{family}.*", below, name=f"{family}-below")
    setup.bus.subscribe(f"{family}.+", async_handler, name=f"{family}-one")
    setup.bus.subscribe(f"{family}.a", exact, name=f"{family}-exact")
    for n, type in enumerate(("a", "b", "a.c")):
        setup.bus.publish(f"{family}.{type}", {"n": n}, subject="s").wait(LONG_S)
    below.wait_for(3)
    one.wait_for(2)
    exact.wait_for(1)
    assert (below.values("n"), one.values("n"), exact.values("n")) == ([0, 1, 2], [0, 1], [0])


def test_a_handler_gets_the_whole_event(setup, family) -> None:
    recorder = Recorder()
    setup.bus.subscribe(f"{family}.*", recorder, name=family)
    published = setup.bus.publish(
        f"{family}.a", {"eval_id": "ü", "deep": [{"x": None}]}, source="/src", subject="sub",
        time="2026-11-24T10:00:00+01:00", correlationid="c", causationid="d", dataschema="/x",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        extensions={"tracestate": "a=1", "attempt": 2, "isretry": True},
    ).wait(LONG_S)  # fmt: skip
    (event,) = recorder.wait_for(1)
    assert event.to_dict() == published.to_dict()
    assert event.extensions == {"tracestate": "a=1", "attempt": 2, "isretry": True}
    assert event["eval_id"] == "ü"
    assert event["timestamp"] == "2026-11-24T09:00:00.000000Z"


def test_a_lambda_gets_what_is_published_while_it_lives(setup, family) -> None:
    recorder = Recorder()
    setup.publish_apart(f"{family}.a", {"n": 0})
    subscription = setup.bus.subscribe(f"{family}.*", lambda event: recorder(event))
    assert not subscription.is_durable
    for n in (1, 2):
        setup.bus.publish(f"{family}.a", {"n": n}).wait(LONG_S)
    recorder.wait_for(2)
    setup.bus.unsubscribe(subscription)
    setup.bus.publish(f"{family}.a", {"n": 3}).wait(LONG_S)
    assert recorder.values("n") == [1, 2]


@pytest.mark.parametrize("is_durable", [True, False])
def test_events_of_a_subject_are_handled_in_order_and_subjects_at_the_same_time(
    setup, family, is_durable
) -> None:
    handled: dict[str, list[int]] = {"a": [], "b": []}
    meeting = threading.Barrier(2)

    def handle(event: Event) -> None:
        if event["n"] == 0:
            meeting.wait(LONG_S)  # both subjects at once, or this breaks
        handled[event.subject].append(event["n"])

    name = family if is_durable else None
    setup.bus.subscribe(f"{family}.*", handle, name=name, concurrency=4)
    for n in range(50):
        for subject in ("a", "b"):
            setup.bus.publish(f"{family}.a", {"n": n}, subject=subject)
    wait_until(lambda: sum(map(len, handled.values())) == 100, "all are handled")
    assert handled == {"a": list(range(50)), "b": list(range(50))}


def test_a_failing_handler_is_tried_again_until_it_succeeds(setup, family) -> None:
    setup.bus.subscribe(f"{family}.*", Failing(2), name=family)
    event = setup.bus.publish(f"{family}.a").wait(LONG_S)
    assert settled(setup, event, family, "succeeded")["outcomes"] == [
        "failed", "failed", "succeeded",
    ]  # fmt: skip


def test_after_its_last_attempt_a_delivery_is_a_dead_letter(setup, family) -> None:
    setup.bus.subscribe(f"{family}.*", Failing(), name=family, max_attempts=2)
    event = setup.bus.publish(f"{family}.a").wait(LONG_S)
    dead = settled(setup, event, family, "dead")
    assert (dead["error_class"], dead["error_message"]) == ("RuntimeError", "failure 2")
    assert dead["outcomes"] == ["failed", "failed"]


def test_a_rejected_event_is_a_dead_letter_at_once(setup, family) -> None:
    async def reject(event: Event) -> None:
        raise RejectError("never")

    setup.bus.subscribe(f"{family}.*", reject, name=family)
    event = setup.bus.publish(f"{family}.a").wait(LONG_S)
    assert settled(setup, event, family, "dead")["outcomes"] == ["failed"]


def test_whatever_a_handler_raises_is_a_failed_attempt_and_the_next_event_is_handled(
    setup, family
) -> None:
    raised: list[type[BaseException] | None] = [
        SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, None
    ]  # fmt: skip

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        if (error := raised[event["n"]]) is not None:
            raise error("odd")

    setup.bus.subscribe(f"{family}.*", handle, name=family, max_attempts=1)
    for n, error in enumerate(raised):
        event = setup.bus.publish(f"{family}.a", {"n": n}).wait(LONG_S)
        found = settled(setup, event, family, "succeeded" if error is None else "dead")
        assert found["outcomes"] == ["succeeded" if error is None else "failed"]


def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(setup, family) -> None:
    stopped = threading.Event()
    calls = itertools.count()

    async def hang_once(event: Event) -> None:
        if next(calls) == 0:
            try:
                await asyncio.sleep(LONG_S)
            finally:
                stopped.set()

    setup.bus.subscribe(f"{family}.*", hang_once, name=family, timeout=0.2)
    event = setup.bus.publish(f"{family}.a").wait(LONG_S)
    assert is_late_and_then_good(settled(setup, event, family, "succeeded")["outcomes"])
    assert stopped.is_set()


def test_a_blocking_handler_that_takes_too_long_is_tried_again_and_its_late_wishes_refused(
    setup, family
) -> None:
    bus = setup.bus
    may_end = threading.Event()
    refused: list[Exception] = []
    calls = itertools.count()

    def block_once(event: Event) -> None:
        if next(calls) > 0:
            return
        assert may_end.wait(LONG_S)
        try:
            bus.publish(f"{family}.late")
        except EffectError as error:
            refused.append(error)

    bus.subscribe(f"{family}.a", block_once, name=family, timeout=0.2)
    event = bus.publish(f"{family}.a").wait(LONG_S)
    outcomes = settled(setup, event, family, "succeeded")["outcomes"]
    may_end.set()
    assert is_late_and_then_good(outcomes)
    wait_until(lambda: refused, "the refusal")
    assert setup.events(f"{family}.late") == []


def test_a_durable_name_gets_what_it_missed_while_away(setup, family) -> None:
    first, second = Recorder(), Recorder()
    setup.bus.subscribe(f"{family}.*", first, name=family)
    setup.bus.publish(f"{family}.a", {"n": 0}, subject="s").wait(LONG_S)
    first.wait_for(1)

    def publish() -> None:
        for n in (1, 2, 3):
            setup.publish_apart(f"{family}.a", {"n": n})

    bus = setup.reopen(publish)
    bus.subscribe(f"{family}.*", second, name=family)
    second.wait_for(3)
    assert first.values("n") == [0]
    assert second.values("n") == [1, 2, 3]


def test_what_a_handler_publishes_is_an_effect_of_its_delivery(setup, family) -> None:
    bus = setup.bus
    failures = iter([True])
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(await bus.publish(f"{family}.effect", {"of": event["n"]}))
        bus.publish_many([{"type": f"{family}.effect", "data": {"of": "many"}}])
        if next(failures, False):
            raise RuntimeError("after it has published")

    bus.subscribe(f"{family}.cause", handle, name=family)
    cause = bus.publish(f"{family}.cause", {"n": 7}, correlationid="whole").wait(LONG_S)
    settled(setup, cause, family, "succeeded")
    effects = setup.events(f"{family}.effect")
    assert [e["data"]["of"] for e in effects] == [7, "many"]
    assert {e["causationid"] for e in effects} == {cause.id}
    assert {e["correlationid"] for e in effects} == {"whole"}
    assert effects[0]["source"] == f"/handlers/{family}"
    assert [event.id for event in seen] == [effects[0]["id"]] * 2  # the same at every attempt


def test_a_lambda_publishes_when_it_has_succeeded(setup, family) -> None:
    bus = setup.bus
    bus.subscribe(f"{family}.cause", lambda e: bus.publish(f"{family}.effect", {"of": e["n"]}))
    cause = bus.publish(f"{family}.cause", {"n": 1}).wait(LONG_S)
    (effect,) = wait_until(lambda: setup.events(f"{family}.effect"), "the effect")
    assert effect["causationid"] == cause.id


def test_what_a_handler_schedules_is_an_effect_too(setup, family) -> None:
    bus = setup.bus

    async def handle(event: Event) -> None:
        bus.publish(f"{family}.later", {"of": event["n"]}, delay=0.05)
        bus.publish(f"{family}.now")

    bus.subscribe(f"{family}.cause", handle, name=family)
    cause = bus.publish(f"{family}.cause", {"n": 1}).wait(LONG_S)
    (later,) = wait_until(lambda: setup.events(f"{family}.later"), "what was scheduled")
    assert (later["causationid"], later["source"]) == (cause.id, f"/handlers/{family}")
    assert len(setup.events(f"{family}.now")) == 1


def test_what_is_asked_for_after_the_attempt_is_refused(setup, family) -> None:
    bus = setup.bus
    refused: list[Exception] = []

    async def late(event: Event) -> None:
        async def publish() -> None:
            await asyncio.sleep(0.05)
            try:
                bus.publish(f"{family}.late")
            except EffectError as error:
                refused.append(error)

        late.task = asyncio.get_running_loop().create_task(publish())

    bus.subscribe(f"{family}.a", late, name=family)
    bus.publish(f"{family}.a").wait(LONG_S)
    wait_until(lambda: refused, "the refusal")
    assert setup.events(f"{family}.late") == []


def test_an_endless_chain_of_events_ends_as_a_dead_letter(setup, family) -> None:
    bus = setup.bus

    async def again(event: Event) -> None:
        await bus.publish(f"{family}.a")

    bus.subscribe(f"{family}.a", again, name=family)
    bus.publish(f"{family}.a").wait(LONG_S)
    wait_until(lambda: len(setup.events(f"{family}.a")) == 33, "the chain has its full depth")
    last = setup.events(f"{family}.a")[-1]
    event = Event.create(last["type"], id=last["id"]).evolve(sequence=last["sequence"])
    assert settled(setup, event, family, "dead")["error_class"] == "EventLoopError"


def test_unsubscribing_forgets_a_durable_subscription(setup, family) -> None:
    first, second = Recorder(), Recorder()
    subscription = setup.bus.subscribe(f"{family}.*", first, name=family)
    setup.bus.unsubscribe(subscription)
    event = setup.bus.publish(f"{family}.a", {"n": 1}).wait(LONG_S)
    assert family not in setup.deliveries(event)
    setup.bus.subscribe(f"{family}.*", second, name=family)
    setup.bus.publish(f"{family}.a", {"n": 2}).wait(LONG_S)
    second.wait_for(1)
    assert (first.values("n"), second.values("n")) == ([], [2])
    with pytest.raises(SubscriptionError, match="no subscription"):
        setup.bus.unsubscribe("never-there")


def test_a_name_is_given_once(setup, family) -> None:
    setup.bus.subscribe(f"{family}.*", Recorder(), name=family)
    with pytest.raises(SubscriptionError, match="taken"):
        setup.bus.subscribe(f"{family}.a", Recorder(), name=family)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"max_attempts": 0}, {"timeout": 0}])
def test_wrong_options_are_refused(setup, family, wrong) -> None:
    with pytest.raises(SubscriptionError):
        setup.bus.subscribe(f"{family}.*", Recorder(), name=family, **wrong)


def test_closing_lets_a_running_handler_end(setup, family) -> None:
    bus = setup.bus
    begun = threading.Event()

    def handle(event: Event) -> None:
        begun.set()
        time.sleep(0.2)  # closing has begun by then
        bus.publish(f"{family}.effect")

    bus.subscribe(f"{family}.a", handle, name=family)
    event = bus.publish(f"{family}.a").wait(LONG_S)
    assert begun.wait(LONG_S)
    setup.reopen()
    assert settled(setup, event, family, "succeeded")["outcomes"] == ["succeeded"]
    assert len(setup.events(f"{family}.effect")) == 1


def test_a_decorated_function_stays_as_it_is(setup, family) -> None:
    @setup.bus.on(f"{family}.*", name=family)
    def handle(event: Event) -> int:
        return 42

    assert handle(Event.create("a.b")) == 42
    event = setup.bus.publish(f"{family}.a").wait(LONG_S)
    settled(setup, event, family, "succeeded")


def test_of_many_events_a_wrong_one_stops_all(setup, family) -> None:
    good = {"type": f"{family}.a"}
    with pytest.raises(EventValidationError, match="/1/type"):
        setup.bus.publish_many([good, {"type": "not..fine"}])
    events = setup.bus.publish_many([good, Event.create(f"{family}.a")]).wait(LONG_S)
    assert [e["id"] for e in setup.events(f"{family}.a")] == [event.id for event in events]
