"""Threads that give way to others."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventbus.threads import give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority here")


def own_priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_gives_way_and_takes_nothing_back() -> None:
    def run() -> tuple[int, int]:
        give_way(19)
        lowest = own_priority()
        give_way(10)  # as in a server that was started by `nice -n 19`
        return lowest, own_priority()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result() == (19, 19)


def test_a_thread_works_on_where_priorities_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    give_way(19)
