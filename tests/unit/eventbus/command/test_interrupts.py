"""Ctrl-C that waits."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from eventbus.command.interrupts import held_back


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """As a command has it, however these tests were started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_is_heeded_when_the_block_has_ended() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        press()
        done.append("all of it")
    assert done == ["all of it"]
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_second_time_it_is_heeded_at_once() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        press()
        press()
        done.append("nothing")
    assert done == []


def test_without_it_nothing_happens_and_who_ignores_it_goes_on_ignoring_it() -> None:
    with held_back():
        pass
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back():
        press()
