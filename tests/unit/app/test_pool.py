"""The pool of request threads: a system without threads makes requests wait, and ends nothing."""

from __future__ import annotations

import threading

import pytest

from app.pool import PatientPool


def test_work_waits_for_the_threads_there_are_when_no_more_can_be_started() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold() -> int:
        entered.set()
        assert go_on.wait(10.0)
        return 1

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with PatientPool(max_workers=4) as pool:
        first = pool.submit(hold)
        assert entered.wait(10.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = pool.submit(lambda: 2)
        go_on.set()
        assert (first.result(10.0), second.result(10.0)) == (1, 2)
