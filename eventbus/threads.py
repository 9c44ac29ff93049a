"""Starting a thread, with an error that says what to do when the system allows no more."""

from __future__ import annotations

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
