"""Starting a thread, with an error when the system allows no more, and letting it give way."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from eventbus.errors import NoThreadError


def start_thread(thread: threading.Thread) -> None:
    """Start ``thread``. Raises NoThreadError when there can be none."""
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThreadError(
            f"the thread {thread.name!r} cannot be started ({error}): raise the limit of threads "
            "(`ulimit -u`, TasksMax of a systemd unit, pids.max of a container) or free memory"
        ) from error


def is_process_ending() -> bool:
    """Whether the interpreter has begun to shut down, from when on no thread pool takes work.

    The threads of pools end then, before daemon threads do, and nothing else tells of it.
    """
    pools = sys.modules.get("concurrent.futures.thread")
    return bool(getattr(pools, "_shutdown", False))


def give_way(nice: int) -> None:
    """Have the calling thread run after others: ``nice`` as in nice(1), 0 to 19.

    Only on Linux, where a thread has a priority of its own. One that is lower already stays so: to
    raise it is for the privileged alone.
    """
    if sys.platform != "linux":
        return
    thread_id = threading.get_native_id()
    # A sandbox may forbid the call; the work is done all the same.
    with contextlib.suppress(OSError):
        now = os.getpriority(os.PRIO_PROCESS, thread_id)
        os.setpriority(os.PRIO_PROCESS, thread_id, max(now, nice))
