"""A bus beside a broker: what goes out, what comes in, and that both happen once; every adapter."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from eventbus import Event, EventBus, Pattern
from eventbus.brokers import Bridge, Incoming
from eventbus.brokers.in_process import InProcessBroker, InProcessLink
from eventbus.errors import BrokerBusyError
from tests.brokers.buses import WAIT_S, Joined, joined
from tests.brokers.stages import InProcessStage, Stage, make_event, receive, run
from tests.helpers.bus import recorded
from tests.helpers.disks import fill_up, make_room
from tests.helpers.waiting import wait_until


def test_an_event_of_one_bus_is_an_event_of_the_other(stage: Stage, tmp_path: Path) -> None:
    with joined(stage, tmp_path, "a", "b") as (a, b):
        sent = a.bus.publish("test.made", {"n": 1, "eval_id": "e1"}).wait()
        (received,) = b.seen.wait_for(1, WAIT_S)
        assert received == sent
        assert received.data == sent.data
        assert (received.time, received.subject) == (sent.time, "e1")
        assert received.correlationid == sent.correlationid


def test_what_came_in_is_not_sent_out_again(stage: Stage, tmp_path: Path) -> None:
    async def listen(count: int) -> list[Event]:
        link = await stage.broker("ear").connect()
        heard = await receive(link, count)
        heard += await receive(link, 0, quiet_s=1.0)
        await link.close()
        return heard

    run(listen(0))  # its queue is there from now on
    with joined(stage, tmp_path, "a", "b", "c") as (a, b, c):
        for n in range(20):
            a.bus.publish("test.made", {"n": n})
        for each in (b, c):
            each.seen.wait_for(20, WAIT_S)
        a.wait_sent(20)
        heard = run(listen(20))
        assert sorted(event["n"] for event in heard) == list(range(20))
        assert b.bridge.status().sent == c.bridge.status().sent == 0
        assert len(recorded(a.bus)) == 20  # what came back to it is known already


def test_what_a_handler_publishes_about_it_goes_out(stage: Stage, tmp_path: Path) -> None:
    with joined(stage, tmp_path, "a", "b") as (a, b):
        b.bus.subscribe("test.made", lambda e: b.bus.publish("test.answered", {}), name="answer")
        asked = a.bus.publish("test.made", {}).wait()
        _, answer = a.seen.wait_for(2, WAIT_S)
        assert answer.type == "test.answered"
        assert (answer.causationid, answer.correlationid) == (asked.id, asked.id)
        assert answer.depth == 1  # so that an endless chain between two buses is found out


def test_an_event_that_comes_twice_is_recorded_once(stage: Stage, tmp_path: Path) -> None:
    async def publish(events: list[Event]) -> None:
        link = await stage.broker(take=()).connect()
        await link.publish(events)
        await link.close()

    with joined(stage, tmp_path, "a") as (a,):
        events = [make_event(n) for n in range(50)]
        run(publish([*events, *events]))
        run(publish([*reversed(events), make_event(50)]))
        wait_until(lambda: a.bridge.status().taken == 51, "all are there", WAIT_S)
        wait_until(lambda: a.bridge.status().duplicates == 100, "all have come", WAIT_S)
        assert a.bus.drain(WAIT_S)
        assert sorted(a.seen.values("n")) == list(range(51))


def test_events_of_a_subject_stay_in_order_also_many_of_one(stage: Stage, tmp_path: Path) -> None:
    with joined(stage, tmp_path, "a", "b") as (a, b):
        for start in range(0, 1_000, 100):
            a.bus.publish_many(
                {"type": "test.made", "subject": "hot" if n % 2 else f"s{n % 7}", "data": {"n": n}}
                for n in range(start, start + 100)
            )
        b.seen.wait_for(1_000, WAIT_S)
        by_subject = defaultdict(list)
        for event in b.bus.log.read(0, limit=1_000).events:
            by_subject[event.subject].append(event["n"])
        assert len(by_subject["hot"]) == 500
        assert all(found == sorted(found) for found in by_subject.values())


def test_only_what_is_asked_for_goes_out_and_comes_in(stage: Stage, tmp_path: Path) -> None:
    sender = Joined(stage, tmp_path, "a", send=("test.*", "other.thing"), take=())
    taker = Joined(stage, tmp_path, "b", send=(), take=("test.made", "other.*"))
    try:
        for each in (sender, taker):
            each.wait_connected()
        for type in ("test.made", "test.unmade", "other.thing", "other.else", "bus.own"):
            sender.bus.publish(type, {})
        taker.seen.wait_for(2, WAIT_S)
        sender.wait_sent(3)
        assert sorted(recorded(taker.bus)) == ["other.thing", "test.made"]
        assert [each.name for each in taker.bus.subscriptions()] == ["seen"]
        assert sender.bus.drain(WAIT_S)
    finally:
        sender.close()
        taker.close()


def test_a_bus_may_take_from_one_broker_and_send_to_another(stage: Stage, tmp_path: Path) -> None:
    elsewhere = InProcessStage()
    take = [Pattern("far.*")]
    with joined(stage, tmp_path, "near") as (near,), joined(elsewhere, tmp_path, "far") as (far,):
        for _ in range(2):
            with (
                EventBus.open(f"sqlite:///{tmp_path}/between.db", source="/between") as bus,
                Bridge(bus, elsewhere.broker("between", ["far.*"]), send=(), take=take),
                Bridge(bus, stage.broker("unused", [])) as out,
            ):
                assert out.wait_connected(WAIT_S)
                count = len(near.seen.events)
                far.bus.publish("far.thing")
                near.seen.wait_for(count + 1, WAIT_S)
                out.close()
                bus.publish("left.behind").wait()  # for the next start, whichever starts first
        wait_until(lambda: recorded(near.bus).count("left.behind") == 1, "it came", WAIT_S)


def test_a_restart_goes_on_where_it_stopped(stage: Stage, tmp_path: Path) -> None:
    with joined(stage, tmp_path, "b") as (b,):
        count = 0
        for _ in range(3):
            a = Joined(stage, tmp_path, "a")
            for _ in range(100):
                a.bus.publish("test.made", {"n": count})
                count += 1
            a.close()  # in the middle of sending
        a = Joined(stage, tmp_path, "a")
        try:
            b.seen.wait_for(count, WAIT_S)
            wait_until(lambda: a.relay_state() == (0, 0), "all are sent", WAIT_S)
            assert sorted(b.seen.values("n")) == list(range(count))
        finally:
            a.close()


# -- in process alone: what does not depend on the adapter -----------------------------------


def test_a_broker_that_is_away_delays_and_loses_nothing(tmp_path: Path) -> None:
    stage = InProcessStage()
    with joined(stage, tmp_path, "a", "b") as (a, b):
        stage.exchange.is_away = True
        began = time.monotonic()
        for n in range(1_500):  # more than are on their way at once
            a.bus.publish("test.made", {"n": n}, subject="one")
        assert time.monotonic() - began < WAIT_S, "publishing does not wait for the broker"
        wait_until(lambda: a.bridge.status().waiting == 1_500, "they are counted", WAIT_S)
        (trouble,) = a.bus.troubles()
        assert (trouble.part, trouble.severity) == ("broker", "warning")
        assert "switched off; 1,500 events wait to be sent" in trouble.detail
        lag, dead = a.relay_state()
        assert (lag, dead) == (1_500, 0)

        stage.exchange.is_away = False
        wait_until(lambda: not a.bus.troubles(), "it is connected again", WAIT_S)
        b.seen.wait_for(1_500, WAIT_S)
        assert a.bus.drain(WAIT_S)
        assert b.seen.values("n") == list(range(1_500))
        assert a.relay_state() == (0, 0)


def test_an_outage_is_no_failed_attempt_also_across_restarts(tmp_path: Path) -> None:
    stage = InProcessStage()
    stage.exchange.is_away = True
    for n in range(7):  # more often than any delivery is tried
        a = Joined(stage, tmp_path, "a")
        a.bus.publish("test.made", {"n": n})
        wait_until(lambda a=a: a.bus.running(), "its attempt has begun", WAIT_S)
        a.close()
    stage.exchange.is_away = False
    with joined(stage, tmp_path, "b"), joined(stage, tmp_path, "a") as (a,):
        wait_until(lambda: a.relay_state() == (0, 0), "all are sent", WAIT_S)
        for delivery in a.bus.log.deliveries(1):
            assert (delivery.state, delivery.attempt) == ("succeeded", 1)


def test_a_message_that_is_no_event_is_kept_and_holds_up_nothing(tmp_path: Path) -> None:
    stage = InProcessStage()
    with joined(stage, tmp_path, "a") as (a,):
        for n, (body, content_type, attributes) in enumerate([
            (b"\xff\xfe", "application/cloudevents+json", {}),
            (b"{}", "application/json", {"id": "1", "type": "test.made", "specversion": "1.0"}),
            (b"[1", "application/json", dict(BINARY, id="2")),
            (b"{}", "application/json", dict(BINARY, id="3", type="no*such")),
            (b"{}", "application/json", dict(BINARY, id="4", type="bus.own.fact")),
            (b'{"a": 1}', "application/json", {}),
            (b"x" * 3_000_000, "application/json", dict(BINARY, id="5")),
        ]):  # fmt: skip
            stage.exchange.publish(
                Incoming(body, content_type, attributes, None, "/there", f"m{n}"), "test.made"
            )
        stage.exchange.publish(
            Incoming(b'{"n": 9}', "application/json", dict(BINARY, id="9"), None, "/there", "m9"),
            "test.made",
        )
        seen = sorted(a.seen.wait_for(8, WAIT_S), key=lambda event: event.sequence or 0)
        rejected = [event for event in seen if event.type == "bus.intake.rejected"]
        assert [event["origin"] for event in rejected] == ["/there"] * 7
        assert seen[-1]["n"] == 9
        assert rejected[0]["body_base64"] == "//4="
        assert rejected[1]["errors"][0]["pointer"] == "/source"
        assert "bus.*" in rejected[4]["reason"]
        assert rejected[6]["is_cut_off"] and rejected[6]["size_bytes"] == 3_000_000
        assert a.bridge.status().rejected == 7
        assert a.relay_state() == (0, 0)


BINARY = {"specversion": "1.0", "id": "1", "source": "/s", "type": "test.made"}


def test_data_that_is_no_object_becomes_one(tmp_path: Path) -> None:
    stage = InProcessStage()
    structured = {"specversion": "1.0", "source": "/s", "type": "test.made"}
    with joined(stage, tmp_path, "a") as (a,):
        for n, (body, content_type, attributes) in enumerate([
            (b"[1, 2]", "application/json", BINARY),
            ("grüß".encode(), "text/plain; charset=utf-8", BINARY),
            (b"\x00\x01", "image/png", BINARY),
            (b"", "", BINARY),
            (json.dumps({**structured, "id": "s1", "data": 5, "tenant": "t"}).encode(), "", {}),
            (json.dumps({**structured, "id": "s2", "data_base64": "eyJhIjoxfQ=="}).encode(),
             "application/cloudevents+json; charset=utf-8", {}),
        ]):  # fmt: skip
            given = {**attributes, "id": f"b{n}"} if attributes else {}
            stage.exchange.publish(
                Incoming(body, content_type, given, None, "/there", f"m{n}"), "test.made"
            )
        assert [event.data for event in a.seen.wait_for(6, WAIT_S)] == [
            {"value": [1, 2]}, {"text": "grüß"}, {"base64": "AAE="}, {}, {"value": 5}, {"a": 1},
        ]  # fmt: skip


def test_a_message_waits_in_the_broker_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    stage = InProcessStage()
    with joined(stage, tmp_path, "a") as (a,):
        fill_up(a.bus)
        link = run(_publish_all(stage, [make_event(n, data={"t": "x" * 9_000}) for n in range(50)]))
        wait_until(a.bus.troubles, "the disk is full", WAIT_S)
        assert recorded(a.bus) == []
        make_room(a.bus)
        a.seen.wait_for(50, WAIT_S)
        assert sorted(a.seen.values("n")) == list(range(50))
        assert link == {}


async def _publish_all(stage: Stage, events: list[Event]) -> object:
    return await (await stage.broker(take=()).connect()).publish(events)


class Choosy(InProcessBroker):
    """A broker that never takes events of one type, and at first is too busy for any."""

    busy_times = 3

    async def connect(self) -> InProcessLink:
        link = await super().connect()
        publish = link.publish

        async def choose(events: Sequence[Event]) -> Mapping[int, str]:
            if self.busy_times:
                self.busy_times -= 1
                raise BrokerBusyError("a queue takes no more", 0)
            refused = {i: "too large" for i, e in enumerate(events) if e.type == "test.refused"}
            await publish([event for i, event in enumerate(events) if i not in refused])
            return refused

        link.publish = choose  # type: ignore[method-assign]
        return link


def test_what_the_broker_will_never_take_is_a_dead_letter_what_it_takes_later_is_not(
    tmp_path: Path,
) -> None:
    stage = InProcessStage()
    choosy = Choosy(stage.exchange, "a", [Pattern("#")])
    a = Joined(stage, tmp_path, "a", broker=choosy)
    try:
        with joined(stage, tmp_path, "b") as (b,):
            a.bus.publish_many(
                {"type": "test.refused" if n == 5 else "test.made", "data": {"n": n}}
                for n in range(10)
            )
            b.seen.wait_for(9, WAIT_S)
            wait_until(lambda: a.relay_state() == (0, 1), "one is dead", WAIT_S)
            (dead,) = a.bus.log.list_deliveries(state="dead").deliveries
            assert (dead.event_type, dead.error_class) == ("test.refused", "BrokerRefusedError")
            assert dead.error_message == "too large"
            assert b.seen.values("n") == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    finally:
        a.close()
