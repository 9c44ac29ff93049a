"""One run of a handler in the client: async ones on the loop, the others in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from typing import Any

from eventbus.client.effects import RemoteEffects, set_effects
from eventbus.event import Event
from eventbus.subscription import Handler, check_result, is_async_callable
from eventbus.tracing import Tracing
from eventbus.workers import WorkerPool


class Handling:
    """Runs a handler once, in a task of its own; belongs to the loop.

    A handler in a thread cannot be stopped: it is over when it ends, but what it asks for after
    ``stop`` is refused.
    """

    def __init__(
        self, handler: Handler, event: Event, effects: RemoteEffects, pool: WorkerPool
    ) -> None:
        self.event = event
        self.effects = effects
        self.is_stopped = False
        self._handler = handler
        self._pool = pool
        self._is_in_thread = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Return when the handler has ended; what it raises is raised."""
        tracing: Tracing | None = getattr(self.effects.owner, "tracing", None)
        if tracing is None:
            await self._run()
        else:
            name = self.effects.subscription
            with tracing.handling(self.event, name, None) as self.effects.trace:
                await self._run()

    async def _run(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._contained())
        if self.is_stopped:
            self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self.stop()
            # What it still raises is for nobody: it is looked at, so that asyncio does not tell it.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise
        finally:
            self.effects.is_open = False
        if self._task.cancelled():
            if self.is_stopped:
                raise TimeoutError("the handler was stopped")
            raise RuntimeError("the handler raised CancelledError()")
        self._task.result()

    def stop(self) -> None:
        """Its time is up: what it still asks for is not done."""
        self.is_stopped = True
        self.effects.is_open = False
        if self._task is not None and not self._is_in_thread:
            self._task.cancel()

    async def _contained(self) -> None:
        """What is no Exception would end the loop, or its task without an answer to the bus."""
        try:
            await self._call()
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as raised:
            if asyncio._get_running_loop() is None:
                raise  # nobody runs it any more: it is taken down
            raise RuntimeError(f"the handler raised {raised!r}") from raised

    async def _call(self) -> None:
        set_effects(self.effects)  # in this task's own context
        if is_async_callable(self._handler):
            result = self._handler(self.event)
        else:
            context = contextvars.copy_context()
            self._is_in_thread = True
            try:
                result = await self._in_thread(lambda: context.run(self._handler, self.event))
            finally:
                self._is_in_thread = False
        if inspect.isawaitable(result):
            await result
        elif result is not None:
            check_result(result)

    def _in_thread(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            elif isinstance(error, Exception) and not isinstance(error, StopIteration):
                future.set_exception(error)
            else:  # which must not end the loop, or which a future cannot carry
                future.set_exception(RuntimeError(f"the handler raised {error!r}"))

        def work() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = function()
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:
                return  # the client was closed meanwhile; nobody waits for this

        self._pool.submit(work)
        return future
