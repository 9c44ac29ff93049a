"""Who of several processes is to have which lease, worked out from the locks alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Set

import pytest

from eventbus.log.shares import Picture, shares


def counts(picture: Picture) -> dict[int, int]:
    """How many each of the processes is to have, 0 for one that gets none."""
    owners = shares(picture)
    assert all(member in picture.wants[lease] for lease, member in owners.items())
    members = {member for theirs in picture.wants.values() for member in theirs}
    return {member: Counter(owners.values())[member] for member in sorted(members)}


def wanted_by_all(leases: int, *members: int) -> Mapping[int, Set[int]]:
    return {lease: set(members) for lease in range(leases)}


def test_what_is_free_is_shared_out_so_that_nobody_has_two_more_than_another() -> None:
    assert counts(Picture(wanted_by_all(7, 1, 2, 3), {})) == {1: 3, 2: 2, 3: 2}


def test_a_process_that_joins_is_given_its_share_and_no_more_moves_than_that_takes() -> None:
    held = dict.fromkeys(range(6), 1)
    owners = shares(Picture(wanted_by_all(6, 1, 2), held))
    assert Counter(owners.values()) == {1: 3, 2: 3}


@pytest.mark.parametrize("held", [{0: 1, 1: 1, 2: 2}, {0: 1, 1: 2, 2: 2}, {0: 2, 1: 1, 2: 2}])
def test_a_share_that_is_fair_is_left_alone(held: dict[int, int]) -> None:
    assert shares(Picture(wanted_by_all(3, 1, 2), held)) == held


def test_what_one_process_alone_knows_stays_there_and_the_others_share_the_rest() -> None:
    wants = {0: {1}, 1: {1}, 2: {1}, 3: {1, 2}, 4: {1, 2}, 5: {2, 3}}
    assert counts(Picture(wants, dict.fromkeys(range(5), 1) | {5: 2})) == {1: 3, 2: 2, 3: 1}


def test_a_process_gives_to_one_whose_subscriptions_it_does_not_know_by_way_of_a_third() -> None:
    wants = {0: {1}, 1: {1}, 2: {1, 2}, 3: {2, 3}, 4: {2}}
    held = {0: 1, 1: 1, 2: 1, 3: 2, 4: 2}
    assert counts(Picture(wants, held)) == {1: 2, 2: 2, 3: 1}


def test_what_a_process_holds_without_saying_that_it_wants_it_is_not_moved() -> None:
    """One of an older version holds it, or one that is not shared out there."""
    owners = shares(Picture(wanted_by_all(4, 1, 2), {0: 9, 1: 9}))
    assert owners.keys() == {2, 3}


def test_one_whose_handlers_run_now_is_moved_only_if_no_other_will_do() -> None:
    picture = Picture(wanted_by_all(4, 1, 2), dict.fromkeys(range(4), 1))
    owners = shares(picture, ranks={0: 1, 1: 1})
    assert owners == {0: 1, 1: 1, 2: 2, 3: 2}


def test_of_equal_ones_that_which_does_the_other_work_gets_the_last() -> None:
    assert shares(Picture({0: {1, 2}}, {}), last=1) == {0: 2}


def test_who_is_left_out_gets_nothing_and_keeps_what_it_has() -> None:
    picture = Picture(wanted_by_all(4, 1, 2), {0: 1, 1: 2})
    assert shares(picture.without({2})) == {0: 1, 2: 1, 3: 1}


def test_any_picture_comes_to_rest_and_no_move_brings_it_closer_to_even() -> None:
    chance = random.Random(52)
    for _ in range(200):
        members = range(chance.randint(1, 6))
        wants = {
            lease: set(chance.sample(members, chance.randint(1, len(members))))
            for lease in range(chance.randint(0, 25))
        }
        held = {
            lease: chance.choice(sorted(theirs))
            for lease, theirs in wants.items() if chance.random() < 0.7
        }  # fmt: skip
        owners = shares(Picture(wants, held))
        assert owners.keys() == wants.keys()
        assert shares(Picture(wants, owners)) == owners
        count = Counter(owners.values())
        for lease, owner in owners.items():
            assert all(count[each] >= count[owner] - 1 for each in wants[lease])
