"""One attempt of one delivery: calling the handler."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from eventbus.effects import Effects, set_effects
from eventbus.event import Event
from eventbus.subscription import Subscription, check_result

R = TypeVar("R")


async def call_handler(
    subscription: Subscription,
    event: Event,
    effects: Effects,
    run: R,
    in_thread: Callable[[R, Callable[[], Any]], Awaitable[Any]],
) -> None:
    """Run the handler to its end; what it raises is raised.

    An async handler runs here, on the loop; any other in a thread by ``in_thread``, which gets
    ``run`` with it, so that it may block. What either returns is awaited if it can be.
    """
    set_effects(effects)
    try:
        handler = subscription.handler
        if subscription.is_async:
            await handler(event)
        else:
            if subscription.is_inline:
                result = handler(event)
            else:
                context = contextvars.copy_context()
                result = await in_thread(run, lambda: context.run(handler, event))
            if inspect.isawaitable(result):
                await result
            elif result is not None:
                check_result(result)
        if effects.error is not None:  # refused, and the handler caught the refusal
            raise effects.error
    finally:
        effects.is_open = False
        set_effects(None)
