"""How long who fails to sign in has to wait."""

from __future__ import annotations

from app.access.throttle import (
    FORGOTTEN_AFTER_S,
    FREE_PER_ADDRESS,
    FREE_PER_NAME,
    MAX_NAME_WAIT_S,
    MOST_KEYS,
    Throttle,
)


def test_the_first_attempts_are_free_and_then_the_waits_double() -> None:
    throttle, now = Throttle(), 1_000.0
    assert [throttle.begin("ana", "a", now) for _ in range(FREE_PER_NAME)] == [0] * FREE_PER_NAME
    waits = []
    for _ in range(8):
        wait = throttle.begin("ana", "a", now)
        waits.append(wait)
        now += wait
        assert throttle.begin("ana", "a", now) == 0
    assert waits == [1, 2, 4, 8, 16, 32, MAX_NAME_WAIT_S, MAX_NAME_WAIT_S]


def test_an_attempt_that_is_refused_makes_nobody_wait_longer() -> None:
    throttle = Throttle()
    for _ in range(FREE_PER_NAME):
        throttle.begin("ana", "a", 0.0)
    assert [throttle.begin("ana", "a", 0.0) for _ in range(100)] == [1] * 100


def test_a_name_waits_whatever_the_address_and_in_any_case_of_letters() -> None:
    throttle = Throttle()
    for number in range(FREE_PER_NAME):
        throttle.begin("Ana", f"10.0.0.{number}", 0.0)
    assert throttle.begin("aNA", "10.0.1.1", 0.0) == 1
    assert throttle.begin("bob", "10.0.0.1", 0.0) == 0


def test_an_address_waits_whatever_the_name() -> None:
    throttle = Throttle()
    for number in range(FREE_PER_ADDRESS):
        throttle.begin(f"user-{number}", "a", 0.0)
    assert throttle.begin("ana", "a", 0.0) == 1
    assert throttle.begin("ana", "b", 0.0) == 0


def test_a_success_forgives_the_name_and_its_own_attempt_alone() -> None:
    throttle = Throttle()
    for number in range(FREE_PER_ADDRESS - 1):
        throttle.begin(f"user-{number}", "a", 0.0)
    for _ in range(3):  # somebody else of the same address signs in and out
        assert throttle.begin("ana", "a", 0.0) == 0
        throttle.succeeded("ana", "a")
    assert throttle.begin("user-x", "a", 0.0) == 0
    assert throttle.begin("ana", "a", 0.0) == 1


def test_failures_are_forgotten_after_a_while() -> None:
    throttle = Throttle()
    for _ in range(FREE_PER_NAME):
        throttle.begin("ana", "a", 0.0)
    later = FORGOTTEN_AFTER_S + 1
    assert [throttle.begin("ana", "a", later) for _ in range(FREE_PER_NAME)] == [0] * FREE_PER_NAME


def test_it_remembers_a_bounded_number() -> None:
    throttle = Throttle()
    for number in range(MOST_KEYS):
        throttle.begin(f"name-{number}", f"address-{number}", float(number))
    assert len(throttle._tallies) == MOST_KEYS
