"""The simulated platform as a finite-state producer: same seed, same story; and a legal one."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from app.demo.messages import Data, Message
from app.demo.platform import Platform
from eventbus import Event

MAX_RETRIES = 3


def make_platform(seed: int = 1, rate: float = 50.0, failure_rate: float = 0.3) -> Platform:
    return Platform(seed=seed, rate=rate, failure_rate=failure_rate, run="test")


def decide(platform: Platform, message: Message) -> None:
    """What the server answers to a failure, at once."""
    if message.type == "evaluation.failed":
        eval_id, retry_count = message.data["eval_id"], message.data["retry_count"]
        if retry_count < MAX_RETRIES:
            assert platform.hear("retry", eval_id, retry_count + 1)
        else:
            assert platform.hear("exhausted", eval_id, retry_count)


def play(platform: Platform, count: int) -> list[Message]:
    """The next ``count`` messages, with a server that answers at once."""
    messages = []
    for _ in range(count):
        message = platform.next()
        assert message is not None, "it always has something to say until it finishes"
        decide(platform, message)
        messages.append(message)
    return messages


def finish(platform: Platform) -> list[Message]:
    """The rest of the messages after ``finish``, with a server that answers at once."""
    platform.finish()
    messages = []
    while (message := platform.next()) is not None:
        decide(platform, message)
        messages.append(message)
    return messages


def histories(messages: list[Message]) -> dict[str, list[tuple[str, Data]]]:
    """What was said about each evaluation's life, without its files."""
    found: dict[str, list[tuple[str, Data]]] = defaultdict(list)
    for type, data, _ in messages:
        if "eval_id" in data and not type.startswith("storage."):
            found[data["eval_id"]].append((type, data))
    return found


def assert_is_legal(history: list[tuple[str, Data]]) -> None:
    """Attempts follow each other by number; each goes its way through the queue to its end."""
    attempt, after, done = -1, "end of attempt", 0
    for type, data in history:
        if type == "queue.task.added":
            assert after in ("end of attempt", "evaluation.failed"), (after, type)
            attempt, done = attempt + 1, 0
        elif type == "queue.task.started":
            assert after == "queue.task.added"
        elif type == "evaluation.started":
            assert after == "queue.task.started"
        elif type in ("evaluation.progress", "evaluation.sample.completed"):
            assert after == "evaluation.started"
            if type == "evaluation.progress":
                assert done < data["done"] <= data["total"]
                done = data["done"]
            assert data["retry_count"] == attempt
            continue
        elif type == "evaluation.completed":
            assert after == "evaluation.started"
            assert done == data["result"]["samples"]
        elif type == "queue.task.failed":
            assert after == "evaluation.started"
        else:
            expected = {
                "queue.task.processed": "evaluation.completed",
                "evaluation.failed": "queue.task.failed",
            }
            assert after == expected[type]
        assert data["retry_count"] == attempt
        after = type


@pytest.mark.parametrize("rate", [1, 20, 2000])
def test_the_same_seed_tells_the_same_story(rate: int) -> None:
    first = play(make_platform(seed=5, rate=rate), 4_000)
    again = play(make_platform(seed=5, rate=rate), 4_000)
    other = play(make_platform(seed=6, rate=rate), 4_000)
    assert first == again
    assert first != other


def test_an_evaluation_is_the_same_whenever_the_server_answers() -> None:
    prompt, late = make_platform(failure_rate=0.5), make_platform(failure_rate=0.5)
    told = histories(play(prompt, 4_000))
    waiting: list[Message] = []
    messages = []
    for number in range(4_000):
        message = late.next()
        assert message is not None
        messages.append(message)
        if message.type == "evaluation.failed":
            waiting.append(message)
        if waiting and number % 97 == 0:
            decide(late, waiting.pop(0))
    told_late = histories(messages)
    both = [eval_id for eval_id in told if eval_id in told_late]
    assert len(both) > 100
    for eval_id in both:
        length = min(len(told[eval_id]), len(told_late[eval_id]))
        assert told[eval_id][:length] == told_late[eval_id][:length]


@pytest.mark.parametrize("rate", [1, 50, 1000])
@pytest.mark.parametrize("failure_rate", [0.0, 0.3, 1.0])
def test_every_history_is_legal(rate: int, failure_rate: float) -> None:
    platform = make_platform(rate=rate, failure_rate=failure_rate)
    messages = play(platform, 6_000) + finish(platform)
    assert platform.is_finished
    found = histories(messages)
    assert len(found) > 20
    for history in found.values():
        assert_is_legal(history)
        last = history[-1]
        is_exhausted = last[0] == "evaluation.failed" and last[1]["retry_count"] == MAX_RETRIES
        assert is_exhausted or last[0] == "queue.task.processed"


def test_every_message_is_an_event_that_a_bus_takes() -> None:
    for type, data, source in play(make_platform(rate=1000), 5_000):
        event = Event.create(type, data, source=source)
        assert json.loads(event.data_json) == data


def test_the_failure_rate_is_that_of_first_attempts() -> None:
    messages = play(make_platform(rate=20, failure_rate=0.25), 30_000)
    started = Counter(m.data["retry_count"] for m in messages if m.type == "evaluation.started")
    failed = Counter(m.data["retry_count"] for m in messages if m.type == "evaluation.failed")
    assert started[0] > 1_000
    assert 0.21 < failed[0] / started[0] < 0.29


def test_without_failures_nothing_fails_and_nobody_is_alarmed() -> None:
    platform = make_platform(failure_rate=0.0)
    types = {message.type for message in play(platform, 5_000)}
    assert not {type for type in types if "failed" in type or type.startswith("alert.")}
    assert platform.books.completed > 50


def test_some_evaluations_are_retried_to_exhaustion_and_others_recover() -> None:
    platform = make_platform()
    messages = play(platform, 10_000)
    retried = {m.data["eval_id"] for m in messages if m.type == "evaluation.failed"}
    completed = {m.data["eval_id"] for m in messages if m.type == "evaluation.completed"}
    assert platform.books.exhausted > 5
    assert len(retried & completed) > 5


def test_failures_carry_a_traceback_that_ends_in_their_message() -> None:
    errors = [
        m.data["error"] for m in play(make_platform(), 5_000) if m.type == "evaluation.failed"
    ]
    assert len({error["type"] for error in errors}) > 4
    for error in errors:
        lines = error["traceback"].splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1].endswith(f"{error['type']}: {error['message']}")


def test_there_is_something_of_everything() -> None:
    messages = play(make_platform(), 10_000)
    types = {message.type for message in messages}
    assert types >= {
        "queue.task.added", "queue.task.started", "queue.task.processed", "queue.task.failed",
        "evaluation.started", "evaluation.progress", "evaluation.completed", "evaluation.failed",
        "monitoring.metric.recorded", "storage.file.created", "alert.critical", "alert.warning",
    }  # fmt: skip
    assert len({m.data["queue"] for m in messages if m.type == "queue.task.added"}) >= 5
    assert len({m.data["task"] for m in messages if m.type == "evaluation.started"}) >= 10


def test_the_books_say_what_was_said() -> None:
    platform = make_platform()
    messages = play(platform, 5_000) + finish(platform)
    books = platform.books
    assert books.types == Counter(message.type for message in messages)
    assert books.started == books.completed + books.exhausted == len(histories(messages))
    assert platform.unfinished_count == 0


def test_verdicts_that_nobody_waits_for_change_nothing() -> None:
    platform = make_platform()
    failed = next(m for m in iter(platform.next, None) if m.type == "evaluation.failed")
    eval_id = failed.data["eval_id"]
    assert not platform.hear("retry", "eval-of-another-run", 1)
    assert not platform.hear("retry", eval_id, 2)
    assert not platform.hear("exhausted", eval_id, 1)
    assert platform.hear("retry", eval_id, 1)
    assert not platform.hear("retry", eval_id, 1)


def test_a_silent_server_does_not_stop_the_platform() -> None:
    platform = make_platform(failure_rate=1.0)
    for _ in range(60_000):
        assert platform.next() is not None
    assert platform.books.failed > platform.unfinished_count
    platform.finish()
    while platform.next() is not None:
        pass
    assert not platform.is_finished  # it would still wait for the server's word


def test_a_cancelled_evaluation_stops_where_it_is_and_its_task_leaves_the_queue() -> None:
    platform = make_platform(failure_rate=0.0)
    messages = play(platform, 1_500)
    ended = {m.data["eval_id"] for m in messages if m.type == "evaluation.completed"}
    begun = [m.data["eval_id"] for m in messages if m.type == "evaluation.started"]
    running = next(each for each in begun if each not in ended)
    added = [m.data.get("eval_id") for m in messages if m.type == "queue.task.added"]
    queued = next(each for each in added if each is not None and each not in begun)
    for eval_id in (running, queued):
        assert platform.hear("cancelled", eval_id, 0)
        assert not platform.hear("cancelled", eval_id, 0)
    later = histories(play(platform, 2_000))
    for eval_id in (running, queued):
        assert [type for type, _ in later[eval_id]] == ["queue.task.failed"]
        assert later[eval_id][0][1]["error"] == "cancelled"
    assert not platform.hear("cancelled", next(iter(ended)), 0)  # too late


def test_one_that_waits_for_its_retry_is_cancelled_and_tried_again_when_a_person_asks() -> None:
    platform = make_platform()
    failed = next(m for m in iter(platform.next, None) if m.type == "evaluation.failed")
    eval_id = failed.data["eval_id"]
    assert platform.hear("retry", eval_id, 1)
    assert platform.hear("cancelled", eval_id, 0)
    assert eval_id not in histories(play(platform, 2_000))
    assert platform.hear("retry", eval_id, 2)  # the server had counted the one that was called off
    history = histories(play(platform, 3_000))[eval_id]
    assert history[0][0] == "queue.task.added" and history[0][1]["retry_count"] == 2


def test_what_was_given_up_is_tried_once_more_when_a_person_asks_and_can_be_cured() -> None:
    platform = make_platform(failure_rate=0.4)
    given_up = None
    while given_up is None:
        message = platform.next()
        assert message is not None
        decide(platform, message)
        if message.type == "evaluation.failed" and message.data["retry_count"] == MAX_RETRIES:
            given_up = message.data["eval_id"]
    assert platform.hear("retry", given_up, MAX_RETRIES + 1)
    history = histories(play(platform, 4_000))[given_up]
    assert {data["retry_count"] for _, data in history} == {MAX_RETRIES + 1}
    assert history[-1][0] in ("queue.task.processed", "evaluation.failed")
