"""Files and stored results on a real bus."""

from __future__ import annotations

from eventbus import EventBus
from handlers import Handlers
from handlers.storage import FileTotals
from tests.helpers.bus import LONG_S
from tests.helpers.waiting import wait_until


def test_files_belong_to_their_evaluation_until_they_are_deleted(
    bus: EventBus, handlers: Handlers
) -> None:
    for name, size in (("a.eval", 100), ("b.json", 50)):
        bus.publish("storage.file.created", {"path": name, "bytes": size, "eval_id": "e1"})
    bus.publish("storage.file.created", {"path": "c", "size": 7, "eval_id": "e2", "kind": "log"})
    assert bus.drain(LONG_S)
    assert [file.path for file in handlers.files.list("e1")] == ["b.json", "a.eval"]
    assert handlers.files.totals("e1") == FileTotals(2, 150)
    assert [(file.bytes, file.kind) for file in handlers.files.list("e2")] == [(7, "log")]
    bus.publish("storage.file.deleted", {"path": "a.eval"})
    assert bus.drain(LONG_S)
    assert handlers.files.totals("e1") == FileTotals(1, 50)


def test_a_file_that_is_written_again_is_one_file_with_its_last_size(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish_many(
        {"type": f"storage.file.{kind}", "data": {"path": "a", "bytes": size, "eval_id": "e1"}}
        for kind, size in [("created", 1), ("created", 2), ("deleted", 0), ("created", 3)]
    )
    assert bus.drain(LONG_S)
    assert handlers.files.totals("e1") == FileTotals(1, 3)


def test_a_stored_result_is_the_evaluations_result(bus: EventBus, handlers: Handlers) -> None:
    bus.publish("evaluation.completed", {"eval_id": "e1", "result": {"accuracy": 1}})
    bus.publish("storage.result.stored", {"eval_id": "e1", "result": {"accuracy": 0.5}})
    assert bus.drain(LONG_S)
    found = handlers.evaluations.get("e1")
    assert found is not None and found.result == {"accuracy": 0.5}


def test_completing_without_a_result_keeps_the_one_that_was_stored(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish("storage.result.stored", {"eval_id": "e1", "result": [1]})
    bus.publish("evaluation.completed", {"eval_id": "e1"})
    assert bus.drain(LONG_S)
    found = handlers.evaluations.get("e1")
    assert found is not None and (found.state, found.result) == ("completed", [1])


def test_a_file_without_a_path_is_a_dead_letter_and_other_types_are_left_alone(
    bus: EventBus, handlers: Handlers
) -> None:
    bus.publish("storage.bucket.full", {})
    bus.publish("storage.file.created", {"bytes": 1})
    wait_until(lambda: handlers.counters()["dead_letters"] == 1, "the file is a dead letter")
