"""The tree of types: every number is the sum of what is below, every pattern finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.live.traffic import REST, TypeTraffic
from app.live.type_tree import MOST_CHILDREN, Node, type_tree
from eventbus import Pattern

segments = st.sampled_from(["a", "b", "c", "task", "added"])
names = st.lists(segments, min_size=1, max_size=4).map(".".join)


def seen(**counts: int) -> list[TypeTraffic]:
    return [TypeTraffic(name.replace("_", "."), count, 0.0) for name, count in counts.items()]


def every(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from every(node.children)


@given(st.dictionaries(names, st.integers(1, 1000), max_size=20))
def test_each_line_counts_what_its_pattern_finds(counts: dict[str, int]) -> None:
    tree = type_tree([TypeTraffic(name, count, 0.0) for name, count in counts.items()])
    assert tree.count == sum(counts.values())
    nodes = list(every(tree.families))
    for node in nodes:
        pattern = Pattern(node.pattern)
        assert node.count == sum(n for name, n in counts.items() if pattern.matches(name))
        if node.children:
            assert node.count == sum(child.count for child in node.children)
    leaves = [node.pattern for node in nodes if not node.children]
    assert sorted(leaves) == sorted(counts)


def test_a_line_stands_for_what_does_not_fork() -> None:
    (queue,) = type_tree(seen(queue_task_added=2, queue_task_failed=1)).families
    assert (queue.label, queue.pattern, queue.count) == ("queue", "queue.*", 3)
    assert [child.label for child in queue.children] == ["task.added", "task.failed"]


def test_a_type_that_others_begin_with_is_a_line_of_its_own_and_in_the_sum() -> None:
    (job,) = type_tree(seen(job=1, job_done=2)).families
    assert (job.pattern, job.count) == ("job.#", 3)
    assert [(child.label, child.pattern) for child in job.children] == [
        ("job", "job"),
        ("done", "job.done"),
    ]


def test_hundreds_of_types_are_said_in_numbers() -> None:
    types = [TypeTraffic(f"a.t{n}", 1, 0.0) for n in range(100)]
    tree = type_tree([*types, TypeTraffic(REST, 7, 0.0)])
    assert len(tree.families[0].children) == MOST_CHILDREN
    assert tree.families[0].hidden == 100 - MOST_CHILDREN
    assert (tree.type_count, tree.other, tree.count) == (100, 7, 107)
