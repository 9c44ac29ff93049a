"""The life of a queued task: the same task results from its events in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Event
from handlers.errors import MalformedEventError
from handlers.queue import tasks
from handlers.queue.table import step
from handlers.queue.tasks import (
    FAILED,
    PROCESSED,
    RUNNING,
    WAITING,
    Task,
    TaskFacts,
    advance,
    key,
    read,
)

ADDED, STARTED, ENDED = (
    TaskFacts("q", "t", stage, 1, time, sequence=time)
    for stage, time in ((WAITING, 100), (RUNNING, 400), (PROCESSED, 900))
)

task_facts = st.builds(
    TaskFacts,
    st.just("q"),
    st.just("t"),
    st.sampled_from([WAITING, RUNNING, FAILED, PROCESSED]),
    st.integers(1, 3),
    st.integers(0, 1000),
    st.integers(1, 100),
)


def run(*facts: TaskFacts) -> Task:
    task: Task | None = None
    for each in facts:
        task = advance(task, each)
    assert task is not None
    return task


@pytest.mark.parametrize("facts", list(permutations([ADDED, STARTED, ENDED, ENDED])))
def test_a_task_ends_the_same_in_any_order_and_with_duplicates(facts: Any) -> None:
    task = run(*facts)
    assert task.stage == PROCESSED
    assert (task.added_at, task.started_at, task.finished_at) == (100, 400, 900)
    assert task.waited_us == 300


def test_a_task_that_never_says_it_started_waits_until_its_end() -> None:
    assert run(ADDED, ENDED).waited_us == 800


def test_a_waiting_time_is_never_negative() -> None:
    assert run(replace(ADDED, time=500), STARTED).waited_us == 0


def test_a_second_added_is_a_duplicate_but_a_higher_attempt_waits_again() -> None:
    failed = TaskFacts("q", "t", FAILED, 1, 500, 3)
    assert run(ADDED, failed, ADDED).stage == FAILED
    again = run(ADDED, failed, TaskFacts("q", "t", WAITING, 2, 600, 4))
    assert (again.stage, again.attempt, again.added_at) == (WAITING, 2, 600)


@given(st.lists(task_facts, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_stage_and_attempt_do_not_depend_on_the_order(facts: list[TaskFacts], random: Any) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)
    one, other = run(*facts), run(*shuffled)
    assert (one.stage, one.attempt) == (other.stage, other.attempt)


@given(st.lists(task_facts, min_size=1, max_size=12))
def test_a_queues_figures_made_of_steps_are_those_of_its_task(facts: list[TaskFacts]) -> None:
    task: Task | None = None
    figures: Counter[str] = Counter()
    for each in facts:
        after = advance(task, each)
        if after is not task:
            figures.update(step(task, after))
        task = after
        assert task is not None
        assert figures["depth"] == (task.stage == WAITING)
        assert figures["running"] == (task.stage == RUNNING)
        assert figures["processed"] <= len({f.attempt for f in facts if f.stage == PROCESSED})
        assert min(figures.values()) >= 0


def test_the_key_is_the_task_in_its_queue_and_the_default_queue_needs_no_name() -> None:
    named = Event.create("queue.task.added", {"queue": "gpu", "task_id": "t1"})
    unnamed = Event.create("queue.task.added", {"task_id": "t1"})
    assert key(named) != key(unnamed)
    facts = read(unnamed)
    assert facts is not None and facts.queue == "default"


def test_types_that_are_no_stage_of_a_task_are_left_alone() -> None:
    assert read(Event.create("queue.paused", {"queue": "gpu"})) is None


@pytest.mark.parametrize("data", [{}, {"task_id": ""}, {"task_id": ["t"]}, {"task_id": True}])
def test_a_task_without_a_usable_id_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError, match="task_id"):
        tasks.read(Event.create("queue.task.added", data))


def test_a_chosen_subject_stands_for_a_missing_task_id() -> None:
    facts = read(Event.create("queue.task.added", {"queue": "gpu"}, subject="t9"))
    assert facts is not None and facts.task_id == "t9"
