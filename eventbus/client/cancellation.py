"""Taking back what is scheduled at a bus elsewhere: at once, or with a handler's success."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from urllib.parse import quote, urlencode

from eventbus.cancels import Cancel
from eventbus.client.connection import Connection, described
from eventbus.client.endpoint import problem_of
from eventbus.errors import BusUnavailableError, ReceiptTimeoutError
from eventbus.threads import start_thread


class RemoteCancellation:
    """What ``RemoteEventBus.cancel`` returns: whether there was anything to cancel.

    True or false at once when it was called in a plain thread; on an event loop ``await`` it
    first. In a handler nobody knows before the bus has taken the handler's success: None.
    """

    def __init__(self, ask: Callable[[], bool] | None = None, *, is_blocking: bool = True) -> None:
        """``ask`` blocks for the answer; None for an effect of a handler.

        Raises what ``ask`` raises when it ``is_blocking``, else ``wait`` and ``await`` do.
        """
        self._answer: Future[bool | None] = Future()
        if ask is None:
            self._answer.set_result(None)
        elif is_blocking:
            self._answer.set_result(ask())
        else:
            start_thread(threading.Thread(
                target=self._run, args=(ask,), name="eventbus-cancel", daemon=True
            ))  # fmt: skip

    def wait(self, timeout: float | None = None) -> bool | None:
        """Block until the bus has answered. Raises ReceiptTimeoutError after ``timeout`` seconds,
        BusUnavailableError."""
        try:
            return self._answer.result(timeout)
        except FutureTimeoutError:
            raise ReceiptTimeoutError("whether it is cancelled is not known yet") from None

    def __await__(self) -> Generator[object, None, bool | None]:
        import asyncio  # only where it is already running: plain threads need not load it

        # Whoever stops waiting does not stop what is asked for.
        return (yield from asyncio.shield(asyncio.wrap_future(self._answer)).__await__())

    def __bool__(self) -> bool:
        if not self._answer.done():
            raise RuntimeError("not known yet: await the cancellation, or call its wait()")
        return bool(self._answer.result())

    def _run(self, ask: Callable[[], bool]) -> None:
        try:
            self._answer.set_result(ask())
        except Exception as error:
            self._answer.set_exception(error)


def is_on_loop() -> bool:
    """Whether the caller is on a running event loop, which must not be blocked."""
    asyncio = sys.modules.get("asyncio")  # who has not loaded it runs none
    return asyncio is not None and asyncio._get_running_loop() is not None


def cancel_at(url: str, wanted: Cancel, timeout_s: float, token: str | None = None) -> bool:
    """Take it back at the bus; whether there was anything. Blocks. Raises BusUnavailableError."""
    query = "" if wanted.source is None else "?" + urlencode({"source": wanted.source})
    body = json.dumps({} if wanted.by is None else {"by": wanted.by}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    connection = Connection(url, timeout_s, token)
    try:
        # Sent once: the second answer would say that there is nothing.
        reply = connection.exchange(
            "DELETE", f"/api/scheduled/{quote(wanted.id, safe='')}{query}", body, headers,
            is_repeatable=False,
        )  # fmt: skip
    except (OSError, http.client.HTTPException) as error:
        raise BusUnavailableError(f"the bus cannot be asked: {described(error)}") from error
    finally:
        connection.close()
    problem = problem_of(reply.content)
    if 200 <= reply.status < 300 and problem.get("cancelled") is True:
        return True
    if reply.status == 404 and problem.get("status") == 404:
        return False  # a bus says so, and not whatever else may be at this address
    raise BusUnavailableError(
        f"{wanted.id!r} is not cancelled: the bus answered {reply.status}: "
        f"{problem['detail'] or reply.reason}"
    )
