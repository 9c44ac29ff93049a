"""The protocol of remote subscriptions, frame by frame, against the real server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.consumer_socket import ConsumerSocket, consume_path
from tests.helpers.raw_websocket import handshake
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until, within

GRACE_S = 0.4
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("server"),
        EVENTBUS_BACKOFF_FIRST_S="0.01",
        EVENTBUS_BACKOFF_MAX_S="0.02",
        EVENTBUS_CONSUMER_GRACE_S=str(GRACE_S),
    ) as server:
        yield server


@pytest.fixture
def name() -> str:
    """A subscription of the test's own; its events have the name as first segment."""
    return f"sub{next(_numbers)}"


def publish(server: ServerProcess, type: str, *subjects: str) -> list[str]:
    batch = [{"type": type, "subject": s, "data": {"n": n}} for n, s in enumerate(subjects)]
    return [entry["id"] for entry in server.api.post("/api/events", batch).json["events"]]


def delivery(server: ServerProcess, event_id: str, name: str) -> dict[str, Any]:
    found = server.api.get(f"/api/events/{event_id}/deliveries").json["deliveries"]
    return next(d for d in found if d["subscription"] == name)


def finished(server: ServerProcess, event_id: str, name: str, state: str) -> dict[str, Any]:
    wait_until(lambda: delivery(server, event_id, name)["state"] == state, f"it is {state}")
    return delivery(server, event_id, name)


def test_an_acknowledged_event_has_succeeded_and_its_events_are_effects(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        frame = consumer.receive()
        assert (frame["event"]["id"], frame["event"]["subject"]) == (event_id, "s")
        consumer.ack(frame, {"type": "effect.of", "data": {"name": name}, "subject": name})
        assert consumer.receive("settled")["settled"] == [frame["delivery"]]
        assert finished(server, event_id, name, "succeeded")["attempt"] == 1
    (effect,) = server.api.get("/api/events", type="effect.of", subject=name).json["events"]
    assert effect["causationid"] == event_id
    assert effect["correlationid"] == event_id
    assert effect["source"] == f"/handlers/{name}"


def test_a_failed_event_is_retried_and_buried_with_the_consumers_own_words(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", max_attempts=2) as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        for _ in range(2):
            consumer.nack(consumer.receive())
        dead = finished(server, event_id, name, "dead")
        assert (dead["error_class"], dead["error_message"]) == ("OddError", "odd")
        assert [a["traceback"] for a in dead["attempts"]] == ["line 7", "line 7"]


def test_a_rejected_event_is_buried_at_once(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.nack(consumer.receive(), reject=True)
        assert len(finished(server, event_id, name, "dead")["attempts"]) == 1


def test_an_effect_that_breaks_the_rules_fails_the_attempt_and_says_which(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", max_attempts=1) as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.ack(consumer.receive(), {"type": "fine.one"}, {"type": "not..fine"})
        dead = finished(server, event_id, name, "dead")
        assert dead["error_class"] == "EventValidationError"
        assert "/events/1/type" in dead["error_message"]


def test_prefetch_bounds_what_is_unanswered(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", prefetch=2) as consumer:
        publish(server, f"{name}.a", "a", "b", "c")
        first = consumer.receive()
        consumer.receive()
        assert consumer.has_nothing()
        consumer.ack(first)
        assert consumer.receive()["event"]["subject"] == "c"


def test_bytes_bound_what_is_unanswered_too(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", prefetch=1000) as consumer:
        large = {"text": "x" * 250_000}
        for part in range(2):
            server.api.post("/api/events", [
                {"type": f"{name}.a", "subject": f"{part}-{n}", "data": large} for n in range(25)
            ])  # fmt: skip
        held = [consumer.receive() for _ in range(8 * 4)]
        while (frame := consumer.ws.receive(1.0)) is not None:
            held.append(frame)
        assert len(held) < 40
        for frame in held:
            consumer.ack(frame)
        for _ in range(50 - len(held)):
            consumer.ack(consumer.receive())
        wait_until(lambda: lag(server, name) == 0, "all are handled")


def lag(server: ServerProcess, name: str) -> int:
    return subscription(server, name)["lag"]


def subscription(server: ServerProcess, name: str) -> dict[str, Any]:
    found = server.api.get("/api/subscriptions").json["subscriptions"]
    return next(s for s in found if s["name"] == name)


def test_a_consumer_that_was_away_gets_what_it_missed_in_order(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        consumer.close()
    wait_until(lambda: not subscription(server, name)["is_active"], "nobody serves it")
    missed = publish(server, f"{name}.a", "s", "s", "s")
    assert lag(server, name) == 3
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        for event_id in missed:
            frame = consumer.receive()
            assert frame["event"]["id"] == event_id
            consumer.ack(frame)
        assert finished(server, missed[-1], name, "succeeded")["attempt"] == 1


def test_what_a_consumer_holds_when_it_leaves_is_given_back_uncounted(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.receive()
        consumer.close()
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        frame = consumer.receive()
        assert frame["event"]["id"] == event_id
        consumer.ack(frame)
        assert finished(server, event_id, name, "succeeded")["attempt"] == 1


def test_a_consumer_that_says_that_it_leaves_gets_no_more_but_may_end_its_work(
    server, name
) -> None:
    with ConsumerSocket(server, name, f"{name}.*", prefetch=2) as consumer:
        first, second = publish(server, f"{name}.a", "s", "s")
        frame = consumer.receive()
        consumer.say({"leave": True})
        consumer.ack(frame)
        assert finished(server, first, name, "succeeded")
        assert consumer.has_nothing()
        assert delivery(server, second, name)["state"] == "pending"


def test_a_lost_connection_costs_nothing_when_the_consumer_comes_back_in_time(
    start_server, name
) -> None:
    server = start_server(EVENTBUS_CONSUMER_GRACE_S="60")
    options = {"consumer": "the-same-one"}
    with ConsumerSocket(server, name, f"{name}.*", **options) as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        before = consumer.receive()
    with ConsumerSocket(server, name, f"{name}.*", **options) as again:
        assert again.session == consumer.session
        after = again.receive()
        assert after == before
        again.ack(after)
        assert finished(server, event_id, name, "succeeded")["attempt"] == 1


def test_a_consumer_that_does_not_come_back_has_failed_and_its_events_end_as_dead_letters(
    server, name
) -> None:
    (event_id,) = [None]
    for _ in range(2):
        with ConsumerSocket(server, name, f"{name}.*", max_attempts=2) as consumer:
            if event_id is None:
                (event_id,) = publish(server, f"{name}.a", "s")
            assert consumer.receive()["event"]["id"] == event_id
    dead = finished(server, event_id, name, "dead")
    assert [a["outcome"] for a in dead["attempts"]] == ["crashed", "crashed"]
    assert dead["error_class"] == "ConsumerLostError"


def test_consumers_of_one_name_share_its_work_and_keep_the_order_of_a_subject(server, name) -> None:
    with (
        ConsumerSocket(server, name, f"{name}.*", prefetch=1) as one,
        ConsumerSocket(server, name, f"{name}.*", prefetch=1) as two,
    ):
        assert subscription(server, name)["consumers"] == 2
        first_a, second_a, b = publish(server, f"{name}.a", "a", "a", "b")
        frames = {frame["event"]["id"]: (c, frame) for c in (one, two) for frame in [c.receive()]}
        assert set(frames) == {first_a, b}
        consumer, frame = frames[b]
        consumer.ack(frame)
        finished(server, b, name, "succeeded")
        assert consumer.has_nothing()  # the other "a" waits, although there is room
        consumer, frame = frames[first_a]
        consumer.ack(frame)
        got = wait_until(
            lambda: [c for c in (one, two) if not c.has_nothing(within_s=0.05)], "its turn comes"
        )
        assert len(got) == 1 and one.has_nothing() and two.has_nothing()
        assert delivery(server, second_a, name)["state"] == "pending"


def test_when_one_consumer_dies_the_others_take_over_its_work(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", prefetch=1) as survivor:
        with ConsumerSocket(server, name, f"{name}.*", prefetch=1) as victim:
            a, b = publish(server, f"{name}.a", "a", "b")
            doomed = victim.receive()["event"]["id"]
            survivor.ack(survivor.receive())
        frame = survivor.receive()
        assert frame["event"]["id"] == doomed
        survivor.ack(frame)
        attempts = {finished(server, e, name, "succeeded")["attempt"] for e in (a, b)}
        assert attempts == {1, 2}


def test_an_attempt_that_takes_too_long_is_cancelled_and_keeps_its_place(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*", prefetch=1, timeout=0.2) as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        late = consumer.receive()
        assert consumer.receive("cancel")["cancel"] == late["delivery"]
        assert consumer.has_nothing()  # its only place is taken until it says that it has ended
        consumer.ack(late, {"type": "effect.late", "subject": name})
        numbers = [late["delivery"]]
        while delivery(server, event_id, name)["state"] != "succeeded":
            # On a machine that has no time for it what is answered at once may be late as well.
            frame = consumer.ws.receive(0.1) or {}
            if "delivery" in frame:
                numbers.append(frame["delivery"])
                consumer.ack(frame)
        done = delivery(server, event_id, name)
        late_ones = len(done["attempts"]) - 1
        assert [a["outcome"] for a in done["attempts"]] == ["timeout"] * late_ones + ["succeeded"]
        assert len({*numbers}) == len(numbers) == late_ones + 1 > 1
    assert server.api.get("/api/events", type="effect.late", subject=name).json["events"] == []


def test_a_half_open_connection_is_noticed(start_server, name) -> None:
    server = start_server(EVENTBUS_PING_EVERY_S="0.3", EVENTBUS_CONSUMER_GRACE_S="0.1")
    with ConsumerSocket(server, name, f"{name}.*", max_attempts=1) as consumer:
        consumer.close()
    (event_id,) = publish(server, f"{name}.a", "s")
    silent = ConsumerSocket(server, name, f"{name}.*", max_attempts=1)
    # Not read any more, so that no ping is answered: after two of them and the grace it is lost.
    assert finished(server, event_id, name, "dead")["error_class"] == "ConsumerLostError"
    silent.ws.drop()


def test_a_consumer_that_does_not_read_slows_nobody_else(server, name) -> None:
    with ConsumerSocket(server, f"{name}-deaf", f"{name}.*", prefetch=1000) as deaf:
        with ConsumerSocket(server, name, f"{name}.*", prefetch=10) as consumer:
            large = {"text": "x" * 100_000}
            for n in range(60):
                body = {"type": f"{name}.a", "subject": str(n), "data": large}
                assert server.api.post("/api/events", body).status == 202
                consumer.ack(consumer.receive())
            wait_until(lambda: lag(server, name) == 0, "the other has handled all")
            assert lag(server, f"{name}-deaf") == 60
        assert deaf.receive()


@pytest.mark.parametrize(
    "message",
    ["nonsense", "[]", "{}", '{"ack":"1"}', '{"ack":true}', '{"nack":1}', '{"ack":1,"events":{}}',
     '{"nack":1,"error":{"class":5}}', '{"nack":1,"error":{},"reject":1}',
     '{"nack":1,"error":{},"retry_after":"60"}',
     '{"nack":1,"error":{},"retry_after":NaN}', '{"leave":false}'],
)  # fmt: skip
def test_a_wrong_message_ends_the_connection_with_the_reason(server, name, message) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        consumer.ws.send(message)
        assert consumer.wait_closed() == 1008


def test_a_stopping_server_sends_consumers_away_at_once_and_counts_nothing(
    start_server, name
) -> None:
    server = start_server()
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.receive()
        assert server.stop() < within(3.0)
        assert consumer.wait_closed() == 1012
    assert "Traceback" not in server.output()
    server.start()
    assert delivery(server, event_id, name)["attempt"] == 0
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        consumer.ack(consumer.receive())
        assert finished(server, event_id, name, "succeeded")["attempt"] == 1


def test_a_killed_server_counts_no_attempt_of_a_handler_that_it_did_not_run(
    start_server, name
) -> None:
    server = start_server()
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.receive()
        server.kill9()
    server.start()
    assert delivery(server, event_id, name)["attempt"] == 0


def test_an_answer_to_what_is_not_held_is_settled_and_else_ignored(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        consumer.say({"ack": 99, "events": [{"type": "effect.stray", "subject": name}]})
        assert consumer.receive("settled")["settled"] == [99]
    stray = server.new_api().get("/api/events", type="effect.stray", subject=name)
    assert stray.json["events"] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"type": ""}, "type"),
        ({"type": "a..b"}, "type"),
        ({"type": "a.b", "prefetch": "0"}, "prefetch"),
        ({"type": "a.b", "prefetch": "1001"}, "prefetch"),
        ({"type": "a.b", "max_attempts": "0"}, "max_attempts"),
        ({"type": "a.b", "timeout": "0"}, "timeout"),
        ({"type": "a.b", "timeout": "nan"}, "timeout"),
        ({"type": "a.b", "consumer": "short"}, "consumer"),
        ({"type": "a.b", "consumer": "with space in it"}, "consumer"),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_handshake(server, name, query, names) -> None:
    answer, _ = handshake(server.port, consume_path(name, **query))
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["errors"][0]["pointer"] == f"/{names}"


def test_a_wrong_name_is_refused(server) -> None:
    for name in ("x" * 201, " ", "a\x07b"):
        answer, _ = handshake(server.port, consume_path(name, "a.b"))
        assert answer.status == 400
        assert "name" in answer.json["detail"]


def test_a_remote_consumer_cannot_take_over_a_local_handler(server) -> None:
    for taken in ("evaluation", "alert"):
        answer, _ = handshake(server.port, consume_path(taken, "a.b"))
        assert answer.status == 409
        assert taken in answer.json["detail"]
        for query in ("", "?force=true"):
            refused = server.api.request("DELETE", f"/api/subscriptions/{taken}{query}")
            assert refused.status == 409


def test_consumers_with_other_terms_are_refused_while_the_first_are_there(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        for other in (consume_path(name, "a.b"), consume_path(name, f"{name}.*", timeout=3)):
            answer, _ = handshake(server.port, other)
            assert answer.status == 409
        consumer.close()
    wait_until(lambda: not subscription(server, name)["is_active"], "the first has left")
    with ConsumerSocket(server, name, f"{name}.other", timeout=3):
        assert subscription(server, name)["pattern"] == f"{name}.other"


def test_pages_of_another_origin_are_refused(server, name) -> None:
    path = consume_path(name, "a.b")
    answer, _ = handshake(server.port, path, {"Origin": "https://evil.example"})
    assert answer.status == 403


def test_a_subscription_that_is_ended_is_forgotten_and_that_is_on_record(server, name) -> None:
    with ConsumerSocket(server, name, f"{name}.*") as consumer:
        (event_id,) = publish(server, f"{name}.a", "s")
        consumer.receive()
        refused = server.api.request("DELETE", f"/api/subscriptions/{name}")
        assert (refused.status, subscription(server, name)["is_active"]) == (409, True)
        assert "served by its consumers now" in refused.json["detail"]
        answer = server.api.request(
            "DELETE", f"/api/subscriptions/{name}?force=true", b'{"by": "ann"}',
            {"Content-Type": "application/json"},
        )  # fmt: skip
        assert answer.status == 200
        assert consumer.wait_closed() == 4410
    found = server.api.get(f"/api/events/{event_id}/deliveries").json["deliveries"]
    assert [d["state"] for d in found] == ["cancelled"]
    (told,) = server.api.get("/api/events", type="subscription.ended", subject=name).json["events"]
    assert told["data"] == {"name": name, "by": "ann"}
    assert server.api.request("DELETE", f"/api/subscriptions/{name}").status == 404
