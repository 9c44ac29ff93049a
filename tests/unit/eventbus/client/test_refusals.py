"""What RemoteEventBus makes of answers that are no: which events are lost, which are kept."""

from __future__ import annotations

import pytest

from eventbus.errors import (
    EventRefusedError,
    EventValidationError,
)
from tests.helpers.clients import balance, messages
from tests.helpers.recording_bus import Json, RecordingBus, Reply


def test_a_wrong_event_is_an_error_at_once(connect) -> None:
    client = connect("http://127.0.0.1:1")
    with pytest.raises(EventValidationError, match="type"):
        client.publish("not a type")
    with pytest.raises(EventValidationError, match="finite"):
        client.publish("a.b", {"x": float("nan")})
    assert balance(client) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("status", [408, 421, 429, 401, 404, 500, 502, 503, 301])
def test_an_answer_that_is_not_about_the_events_keeps_them(status: int, connect, caplog) -> None:
    replies = iter([Reply(status, b"<html>"), Reply.problem(status, "/0/data")])
    with RecordingBus(lambda batch: next(replies, None)) as bus:
        client = connect(bus.url)
        receipt = client.publish("a.b")
        assert client.flush(10)
        assert bus.ids == [receipt.event.id]
        assert len(messages(caplog, "is away")) == len(messages(caplog, "is back")) == 1
        assert str(status) in messages(caplog, "is away")[0]


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"[]", b'{"events": []}', b'{"events": [{"id": "x", "sequence": 1}]}',
     b'{"events": [{}]}', b"[" * 100_000],
)  # fmt: skip
def test_only_a_bus_that_names_each_event_has_recorded_it(body: bytes, connect, caplog) -> None:
    replies = iter([Reply(200, body)])
    with RecordingBus(lambda batch: next(replies, None)) as bus:
        client = connect(bus.url)
        client.publish("a.b")
        assert client.flush(10)
        assert len(bus.batches) == 2
        assert "not as an event bus does" in messages(caplog, "is away")[0]


def test_the_events_that_an_answer_names_are_refused_and_the_others_sent(connect, caplog) -> None:
    def check(batch: list[Json]) -> Reply | None:
        wrong = [f"/{i}/data/n" for i, event in enumerate(batch) if event["data"]["n"] % 40 == 7]
        return Reply.problem(400, *wrong) if wrong else None

    with RecordingBus(check) as bus:
        client = connect(bus.url, linger_s=5.0, batch_size=200)
        receipts = [client.publish("a.b", {"n": n}) for n in range(200)]
        assert client.flush(10)
        assert [event["data"]["n"] for event in bus.events] == [
            n for n in range(200) if n % 40 != 7
        ]
        assert len(bus.batches) == 2
        assert balance(client) == (200, 195, 0, 5, 0)
        assert len(messages(caplog, "refused event")) == 5
        assert receipts[7].event.id in messages(caplog, "refused event")[0]
        with pytest.raises(EventRefusedError, match="/7/data/n: is wrong"):
            receipts[7].wait(1)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_batch_refused_without_a_reason_is_halved_down_to_the_bad_event(
    status: int, connect
) -> None:
    def check(batch: list[Json]) -> Reply | None:
        return Reply(status, b"no") if any(e["data"]["n"] in (63, 150) for e in batch) else None

    with RecordingBus(check) as bus:
        client = connect(bus.url, linger_s=5.0)
        for n in range(200):
            client.publish("a.b", {"n": n})
        assert client.flush(10)
        assert [event["data"]["n"] for event in bus.events] == [
            n for n in range(200) if n not in (63, 150)
        ]
        assert balance(client) == (200, 198, 0, 2, 0)
        assert len(bus.batches) < 40
